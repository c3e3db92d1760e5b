package mesh

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
)

// MaxSigned bounds a signed map in bytes. A node takes some 400 of them.
const MaxSigned = 4 << 20

// A Signed map is a map as it travels and as it is kept: the bytes that were
// signed, and the signature. Whoever has it need not be trusted.
type Signed struct {
	Map       json.RawMessage `json:"map"`
	Signature []byte          `json:"signature"` // ECDSA (ASN.1) of SHA-256, by the authority's key
}

// Of what Open refuses, the kinds.
var (
	ErrSignature = errors.New("the map of the mesh is not signed by this cluster's authority")
	ErrOld       = errors.New("the map of the mesh is older than the one in force")
)

// Seal signs a map with the key of the cluster's authority. A map with a fault is
// not signed.
func Seal(m Map, authority crypto.Signer) (Signed, error) {
	if err := m.Check(); err != nil {
		return Signed{}, fmt.Errorf("sign the map of the mesh: %w", err)
	}
	b, err := m.encode()
	if err != nil {
		return Signed{}, err
	}
	if len(b) > MaxSigned {
		return Signed{}, fmt.Errorf("sign the map of the mesh: %d bytes are more than %d", len(b), MaxSigned)
	}
	signature, err := authority.Sign(rand.Reader, digest(b), crypto.SHA256)
	if err != nil {
		return Signed{}, fmt.Errorf("sign the map of the mesh: %w", err)
	}
	return Signed{b, signature}, nil
}

// Open returns the map of a signed one: of that authority and cluster, without
// faults, and not older than a version. Its errors are ErrSignature and ErrOld, or
// say what is wrong with the map; none of them is a reason to drop the map in force.
func (s Signed) Open(authority *x509.Certificate, cluster string, newest uint64) (Map, error) {
	key, ok := authority.PublicKey.(*ecdsa.PublicKey)
	if !ok || len(s.Map) > MaxSigned || !ecdsa.VerifyASN1(key, digest(s.Map), s.Signature) {
		return Map{}, ErrSignature
	}
	var m Map
	// A newer coordinator's map may have fields that this program does not know.
	if err := json.Unmarshal(s.Map, &m); err != nil {
		return Map{}, fmt.Errorf("decode the map of the mesh: %w", err)
	}
	if m.Cluster != cluster {
		return Map{}, fmt.Errorf("%w: it is of cluster %.40q", ErrSignature, m.Cluster)
	}
	if m.Version < newest {
		return Map{}, fmt.Errorf("%w: version %d, and %d is in force", ErrOld, m.Version, newest)
	}
	if err := m.Check(); err != nil {
		return Map{}, fmt.Errorf("the map of the mesh, version %d: %w", m.Version, err)
	}
	return m, nil
}

// encode is the canonical form: JSON in the order of the fields, without space,
// lists that are empty and not absent.
func (m Map) encode() ([]byte, error) {
	m.Nodes, m.Clients, m.Revoked = full(m.Nodes), full(m.Clients), full(m.Revoked)
	b, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode the map of the mesh: %w", err)
	}
	return b, nil
}

func full[E any](s []E) []E {
	if s == nil {
		return []E{}
	}
	return s
}

// digest is what is signed. The first words keep it apart from all else that the
// authority's key signs: certificates begin with another byte.
func digest(b []byte) []byte {
	sum := sha256.Sum256(bytes.Join([][]byte{[]byte("prime-spark mesh map 1"), b}, []byte{0}))
	return sum[:]
}
