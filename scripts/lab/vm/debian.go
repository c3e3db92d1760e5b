package vm

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"primespark/scripts/lab/guest"
)

//go:embed debian.sh
var fetchScript []byte

// A Debian is what guests of an architecture boot.
type Debian struct {
	Arch    string // of Debian: amd64 or arm64
	Suite   string // bookworm or trixie
	Version string // of the kernel's package

	dir string
}

// Fetch returns Debian's own kernel of a suite, out of the lab's cache; the first call
// fetches it by apt, some 70 MB.
func Fetch(ctx context.Context, suite, arch string) (*Debian, error) {
	cache, err := guest.CacheDir()
	if err != nil {
		return nil, err
	}
	d := &Debian{Arch: arch, Suite: suite, dir: filepath.Join(cache, "vm-"+suite+"-"+arch)}
	version, err := os.ReadFile(d.path("version"))
	if errors.Is(err, fs.ErrNotExist) {
		cmd := exec.CommandContext(ctx, "bash", "-s", "--", suite, arch, d.dir)
		cmd.Stdin = bytes.NewReader(fetchScript)
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("fetch the kernel of Debian %s for %s: %w: %s", suite, arch, err, tail(out))
		}
		version, err = os.ReadFile(d.path("version"))
	}
	if err != nil {
		return nil, err
	}
	d.Version = strings.TrimSpace(string(version))
	return d, nil
}

func (d *Debian) path(name string) string { return filepath.Join(d.dir, name) }

// GOARCH is what programs for the guest are built with; Debian calls these two the same.
func (d *Debian) GOARCH() string { return d.Arch }

// tail is the end of what a program printed.
func tail(b []byte) []byte {
	return b[max(0, len(b)-4000):]
}
