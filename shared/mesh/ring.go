package mesh

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"primespark/shared/identity"
)

// ringFile holds a node's private keys, beside its identity, mode 0600.
const ringFile = "mesh.keys"

// A Ring is the private keys that a node has: one, and while it changes to a newer
// one the older, too.
type Ring struct {
	Keys []OwnKey `json:"keys"` // by generation, the newest last
}

// An OwnKey is a private key of this node.
type OwnKey struct {
	Generation uint64     `json:"generation"`
	Private    PrivateKey `json:"private"`
	Interface  string     `json:"interface,omitempty"` // see Key
}

// NewRing makes the first key of a node.
func NewRing() (Ring, error) { return Ring{}.Next(1) }

// Next is the ring with one more key, of a generation that is at least least, and
// of the older ones the newest.
func (r Ring) Next(least uint64) (Ring, error) {
	private, err := GenerateKey()
	if err != nil {
		return r, err
	}
	next := OwnKey{Generation: max(least, 1), Private: private}
	if len(r.Keys) == 0 {
		return Ring{[]OwnKey{next}}, nil
	}
	old := r.Newest()
	next.Generation = max(next.Generation, old.Generation+1)
	return Ring{[]OwnKey{old, next}}, nil
}

// Settled is the ring with the newest key alone, when nothing uses the older ones.
func (r Ring) Settled() Ring { return Ring{slices.Clone(r.Keys[len(r.Keys)-1:])} }

// Newest is the newest key.
func (r Ring) Newest() OwnKey { return r.Keys[len(r.Keys)-1] }

// Public are the public halves, as the map has them.
func (r Ring) Public() (keys []Key) {
	for _, k := range r.Keys {
		keys = append(keys, Key{Generation: k.Generation, Public: k.Private.Public(), Interface: k.Interface})
	}
	return keys
}

// Check reports what is wrong with a ring. Its text has no key in it.
func (r Ring) Check() error {
	if len(r.Keys) == 0 || len(r.Keys) > MaxKeys {
		return fmt.Errorf("%d keys of the mesh, not 1 to %d", len(r.Keys), MaxKeys)
	}
	for i, k := range r.Keys {
		if k.Generation == 0 || k.Private == (PrivateKey{}) || i > 0 && r.Keys[i-1].Generation >= k.Generation {
			return errors.New("a key of the mesh is empty or out of order")
		}
		if err := CheckInterface(k.Interface); err != nil {
			return err
		}
	}
	return nil
}

// LogValue keeps the keys out of logs.
func (r Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String is the ring without its keys.
func (r Ring) String() string {
	var gens []uint64
	for _, k := range r.Keys {
		gens = append(gens, k.Generation)
	}
	return fmt.Sprintf("mesh keys of generations %v", gens)
}

// GoString is String.
func (r Ring) GoString() string { return r.String() }

// Save keeps the ring in the identity's directory, so that after a power cut it is
// there whole, or the older one still is.
func (r Ring) Save(dir string) error {
	if err := r.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s: %w", ringFile, err)
	}
	return identity.WriteFile(dir, ringFile, b)
}

// LoadRing reads what Save wrote. The error is fs.ErrNotExist if there is nothing.
func LoadRing(dir string) (Ring, error) {
	b, err := identity.ReadFile(dir, ringFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Ring{}, err
	}
	if err != nil {
		return Ring{}, fmt.Errorf("read the keys of the mesh: %w", err)
	}
	r, err := parseRing(b)
	if err != nil {
		return Ring{}, fmt.Errorf("%s: %w; remove that file, and the node makes a new key", filepath.Join(dir, ringFile), err)
	}
	return r, nil
}

func parseRing(b []byte) (r Ring, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return Ring{}, errors.New("it is not the JSON that is wanted") // whose text may be a key's
	}
	return r, r.Check()
}
