package identity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"

	"primespark/shared/watch"
)

// A Keyring holds the keys of the cluster's gossip that a node has now: one, and
// a second one while they change. It is a secret and never shown in a log.
type Keyring struct {
	Primary uint64      `json:"primary"` // the generation to encrypt with
	Keys    []GossipKey `json:"keys"`    // that are understood
}

// A GossipKey is a key and its generation; 0 is that of the founding.
type GossipKey struct {
	Gen uint64 `json:"gen"`
	Key []byte `json:"key"` // KeySize bytes
}

// maxKeys bounds a Keyring: more than two are needed only when one change follows
// another at once.
const maxKeys = 8

// ringFile holds the Keyring in JSON, once it is another than that of joining.
const ringFile = "gossip.keys"

// Single is the ring of one key, of the founding's generation.
func Single(key []byte) Keyring { return Keyring{Keys: []GossipKey{{Key: key}}} }

// Check reports what is wrong with a ring. Its text has no key in it.
func (r Keyring) Check() error {
	if len(r.Keys) > maxKeys {
		return fmt.Errorf("%d gossip keys are more than %d", len(r.Keys), maxKeys)
	}
	seen := map[uint64]bool{}
	for _, k := range r.Keys {
		if len(k.Key) != KeySize || seen[k.Gen] {
			return fmt.Errorf("the gossip key of generation %d has %d bytes, want %d, or is there twice", k.Gen, len(k.Key), KeySize)
		}
		seen[k.Gen] = true
	}
	if !seen[r.Primary] {
		return errors.New("the gossip key to encrypt with is missing")
	}
	return nil
}

// Key is that of a generation; nil if the ring has none.
func (r Keyring) Key(gen uint64) []byte {
	for _, k := range r.Keys {
		if k.Gen == gen {
			return k.Key
		}
	}
	return nil
}

// All are the keys, the one to encrypt with first.
func (r Keyring) All() [][]byte {
	all := [][]byte{r.Key(r.Primary)}
	for _, k := range r.Keys {
		if k.Gen != r.Primary {
			all = append(all, k.Key)
		}
	}
	return all
}

// Generations are those of the keys, in order.
func (r Keyring) Generations() []uint64 {
	gens := []uint64{}
	for _, k := range r.Keys {
		gens = append(gens, k.Gen)
	}
	slices.Sort(gens)
	return gens
}

// Equal reports whether two rings hold the same keys and encrypt with the same.
func (r Keyring) Equal(o Keyring) bool {
	return r.Primary == o.Primary && slices.EqualFunc(r.Keys, o.Keys, func(a, b GossipKey) bool {
		return a.Gen == b.Gen && bytes.Equal(a.Key, b.Key)
	})
}

// LogValue keeps the keys out of logs.
func (r Keyring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String is the ring without its keys.
func (r Keyring) String() string {
	return fmt.Sprintf("gossip keys of generations %v, primary %d", r.Generations(), r.Primary)
}

// GoString is String.
func (r Keyring) GoString() string { return r.String() }

// LogValue keeps the key out of logs.
func (k GossipKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// String is the generation.
func (k GossipKey) String() string { return fmt.Sprintf("gossip key of generation %d", k.Gen) }

// GoString is String.
func (k GossipKey) GoString() string { return k.String() }

// saveRing writes the ring so that after a power cut it is there whole, or the
// old one still is. Its mode is 0600.
func saveRing(dir string, r Keyring) error {
	if err := r.Check(); err != nil {
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode %s: %w", ringFile, err)
	}
	return WriteFile(dir, ringFile, b)
}

// loadRing reads what saveRing wrote; the ring of joining if there is nothing.
func loadRing(dir string, joined []byte) (Keyring, error) {
	b, err := ReadFile(dir, ringFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Single(joined), nil
	}
	if err != nil {
		return Keyring{}, err
	}
	r, err := parseRing(b)
	if err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, ringFile), err)
	}
	return r, nil
}

func parseRing(b []byte) (r Keyring, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return Keyring{}, errors.New("it is not the JSON that is wanted") // whose text may be a key's
	}
	return r, r.Check()
}

// Keyring is the gossip keys that the node has, as a value to wait on.
func (i *Identity) Keyring() *watch.Value[Keyring] { return i.ring }

// SetKeyring puts other gossip keys in place of the present ones: first on the
// disk, in the identity's directory, and then in force.
func (i *Identity) SetKeyring(dir string, r Keyring) error {
	if err := saveRing(dir, r); err != nil {
		return fmt.Errorf("keep the gossip keys: %w", err)
	}
	i.ring.Store(r)
	return nil
}

// GossipKey is the key that gossip is encrypted with, KeySize bytes.
func (i *Identity) GossipKey() []byte {
	r := i.ring.Get()
	return slices.Clone(r.Key(r.Primary))
}
