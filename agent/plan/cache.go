package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"primespark/shared/identity"
	"primespark/shared/wire"
)

// file holds the newest plan, in the state directory.
const file = "plan.json"

// maxFile bounds what is read of it; a deny list of a thousand keys has 90 KiB.
const maxFile = 4 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// kept is the file: the plan, and the CRC32C of its bytes.
type kept struct {
	CRC  uint32          `json:"crc"`
	Plan json.RawMessage `json:"plan"`
}

// save writes the plan so that after a power cut it is there whole, or the old
// one still is.
func save(dir string, p wire.PlanBody) error {
	b, err := encode(p)
	if err != nil {
		return err
	}
	return identity.WriteFile(dir, file, b)
}

func encode(p wire.PlanBody) ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return json.Marshal(kept{crc32.Checksum(b, castagnoli), b})
}

// load reads what save wrote; an approved node's empty plan if there is nothing.
func load(dir string) (wire.PlanBody, error) {
	path := filepath.Join(dir, file)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return wire.PlanBody{State: approved}, nil
	}
	if err != nil {
		return wire.PlanBody{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return wire.PlanBody{}, fmt.Errorf("read plan: %w", err)
	}
	p, err := decode(b)
	if err != nil {
		return p, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

func decode(b []byte) (p wire.PlanBody, err error) {
	if len(b) > maxFile {
		return p, fmt.Errorf("more than %d bytes", maxFile)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return p, fmt.Errorf("decode plan: %w", err)
	}
	if crc32.Checksum(k.Plan, castagnoli) != k.CRC {
		return p, errors.New("damaged: its checksum does not match")
	}
	if err := json.Unmarshal(k.Plan, &p); err != nil {
		return p, fmt.Errorf("decode plan: %w", err)
	}
	return p, nil
}
