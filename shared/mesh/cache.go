package mesh

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"primespark/shared/identity"
)

// cacheFile holds the newest map, in the state directory: what a node builds its
// network from before anybody answers.
const cacheFile = "mesh.json"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cached is the file: the signed map, and the CRC32C of its bytes, which tells a
// failing card from a forger.
type cached struct {
	CRC    uint32          `json:"crc"`
	Signed json.RawMessage `json:"signed"`
}

// Save keeps a signed map in dir so that after a power cut it is there whole, or
// the older one still is.
func (s Signed) Save(dir string) error {
	b, err := s.encode()
	if err != nil {
		return err
	}
	return identity.WriteFile(dir, cacheFile, b)
}

func (s Signed) encode() ([]byte, error) {
	b, err := json.Marshal(s)
	if err == nil {
		b, err = json.Marshal(cached{crc32.Checksum(b, castagnoli), b})
	}
	if err != nil {
		return nil, fmt.Errorf("encode the signed map of the mesh: %w", err)
	}
	return b, nil
}

// Load returns the map that Save kept, checked like one from the network. The
// error is fs.ErrNotExist if none was kept; any other one says what is wrong with
// the file, without which a node waits for a coordinator.
func Load(dir string, authority *x509.Certificate, cluster string) (Map, error) {
	path := filepath.Join(dir, cacheFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Map{}, err
	}
	if err != nil {
		return Map{}, fmt.Errorf("open the kept map of the mesh: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 2*MaxSigned+1))
	if err != nil {
		return Map{}, fmt.Errorf("read %s: %w", path, err)
	}
	s, err := decode(b)
	if err != nil {
		return Map{}, fmt.Errorf("%s: %w", path, err)
	}
	m, err := s.Open(authority, cluster, 0)
	if err != nil {
		return Map{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func decode(b []byte) (s Signed, err error) {
	if len(b) > 2*MaxSigned {
		return s, fmt.Errorf("more than %d bytes", 2*MaxSigned)
	}
	var c cached
	if err := json.Unmarshal(b, &c); err != nil {
		return s, fmt.Errorf("decode: %w", err)
	}
	if crc32.Checksum(c.Signed, castagnoli) != c.CRC {
		return s, errors.New("damaged: its checksum does not match")
	}
	if err := json.Unmarshal(c.Signed, &s); err != nil {
		return s, fmt.Errorf("decode: %w", err)
	}
	return s, nil
}
