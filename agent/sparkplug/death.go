package sparkplug

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"primespark/shared/identity"
)

// deathFile keeps the bdSeq of the last connection, so that a host can tell the
// death of this connection from a late one of the process before.
const deathFile = "sparkplug-bdseq"

// deathMost is the greatest bdSeq; after it comes 0 (specification, chapter 6).
const deathMost = 255

// nextDeath counts one connection more, and returns its bdSeq: 0 for the first.
func nextDeath(dir string) (int64, error) {
	next := int64(0)
	b, err := os.ReadFile(filepath.Join(dir, deathFile))
	switch {
	case err == nil:
		// A file that holds something else is one that was damaged: the count begins anew.
		if last, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil && last >= 0 && last < deathMost {
			next = last + 1
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("read the number of the last Sparkplug connection: %w", err)
	}
	if err := identity.WriteFile(dir, deathFile, []byte(strconv.FormatInt(next, 10)+"\n")); err != nil {
		return 0, fmt.Errorf("keep the number of the Sparkplug connection: %w", err)
	}
	return next, nil
}
