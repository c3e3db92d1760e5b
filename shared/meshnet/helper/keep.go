package helper

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"primespark/shared/identity"
	"primespark/shared/meshnet"
)

// wantedFile holds the last wish: a line with the CRC32C of the rest, which is JSON.
const wantedFile = "wanted.json"

// maxWanted is more than any wish takes, in bytes.
const maxWanted = 16 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func saveWanted(dir string, w meshnet.Wanted) error {
	b, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode what is wanted of the mesh: %w", err)
	}
	return identity.WriteFile(dir, wantedFile, append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(b, castagnoli)), b...))
}

// loadWanted returns the last wish; an empty one if there was none, or with an error.
func loadWanted(dir string) (w meshnet.Wanted, err error) {
	path := filepath.Join(dir, wantedFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err != nil {
		return w, fmt.Errorf("open the last map: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxWanted))
	if err != nil {
		return w, fmt.Errorf("read %s: %w", path, err)
	}
	if w, err = parseWanted(b); err != nil {
		return meshnet.Wanted{}, fmt.Errorf("%s: %w; it is replaced as soon as a daemon tells the map", path, err)
	}
	return w, nil
}

func parseWanted(b []byte) (w meshnet.Wanted, err error) {
	sum, text, _ := bytes.Cut(b, []byte("\n"))
	if string(sum) != fmt.Sprintf("%08x", crc32.Checksum(text, castagnoli)) {
		return w, errors.New("its checksum is wrong")
	}
	if err := json.Unmarshal(text, &w); err != nil {
		return w, err
	}
	return w, w.Check()
}
