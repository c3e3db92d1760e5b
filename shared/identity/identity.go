package identity

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/watch"
)

// KeySize is the length of the gossip key and of the session key in bytes.
const KeySize = 32

// Peers are the addresses that a node was told of when it joined: enough to
// find the others for the first time.
type Peers struct {
	API    []string `json:"api,omitempty"`    // host:port of the coordinators' API
	Gossip []string `json:"gossip,omitempty"` // host:port of gossip seeds
}

// Credentials are what makes a node a member, as it gets them and as they are
// stored.
type Credentials struct {
	CA      []byte   // PEM
	Cert    []byte   // PEM: the node's, then the authority's
	Key     []byte   // PEM
	Gossip  []byte   // KeySize bytes
	Ring    *Keyring // nil: Gossip alone
	Peers   Peers
	CAKey   []byte // PEM; coordinators only
	Session []byte // KeySize bytes; coordinators only
}

// Save writes the credentials into dir, which it makes. What was there before
// is replaced: the old certificate goes first and the new one comes last, so
// that a power cut in between leaves a node that has not joined, never one with
// the key of one identity and the certificate of another.
func (c Credentials) Save(dir string) error {
	if _, err := c.parse(); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	for _, old := range []string{certFile, renewedFile, nextFile, ringFile} {
		if err := os.Remove(filepath.Join(dir, old)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("save identity: %w", err)
		}
	}
	if err := SyncDir(dir); err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	peers, err := json.Marshal(c.Peers)
	if err != nil {
		return fmt.Errorf("save identity: %w", err)
	}
	var ring []byte
	if c.Ring != nil {
		if ring, err = json.Marshal(c.Ring); err != nil {
			return fmt.Errorf("save identity: %w", err)
		}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{caFile, c.CA},
		{keyFile, c.Key},
		{gossipFile, c.Gossip},
		{ringFile, ring},
		{peersFile, peers},
		{caKeyFile, c.CAKey},
		{sessionFile, c.Session},
		{certFile, c.Cert},
	} {
		if f.data == nil {
			continue
		}
		if err := WriteFile(dir, f.name, f.data); err != nil {
			return fmt.Errorf("save identity: %w", err)
		}
	}
	return nil
}

// An Identity is a joined node's own. It is safe to share.
type Identity struct {
	id      ID
	ca      *x509.Certificate
	pool    *x509.CertPool
	cert    atomic.Pointer[tls.Certificate]
	ring    *watch.Value[Keyring]
	session []byte
	peers   Peers
	deny    atomic.Pointer[func(ID, string) bool]
}

// Load reads the identity in dir. The error is fs.ErrNotExist when the node has
// not joined; anything else is damage, and says which file.
func Load(dir string) (*Identity, error) {
	cert, err := ReadFile(dir, certFile)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w", err) // fs.ErrNotExist: not joined
	}
	c := Credentials{Cert: cert}
	for _, f := range []struct {
		name string
		data *[]byte
		opt  bool
	}{
		{caFile, &c.CA, false},
		{keyFile, &c.Key, false},
		{gossipFile, &c.Gossip, false},
		{caKeyFile, &c.CAKey, true},
		{sessionFile, &c.Session, true},
	} {
		*f.data, err = ReadFile(dir, f.name)
		if f.opt && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			// %v: a file that is missing beside a certificate is damage, not "not joined".
			return nil, fmt.Errorf("load identity: %v; restore the file or join again", err)
		}
	}
	switch cert, key, err := renewed(dir); {
	case err != nil:
		return nil, fmt.Errorf("load identity: %w; restore the file or join again", err)
	case key != nil:
		c.Cert, c.Key = cert, key
	}
	ring, err := loadRing(dir, c.Gossip)
	if err != nil {
		return nil, fmt.Errorf("load identity: %w; remove that file if another node of the cluster runs, or join again", err)
	}
	c.Ring = &ring
	// The addresses are a convenience: gossip and the configuration know them too.
	if b, err := ReadFile(dir, peersFile); err == nil {
		if err := json.Unmarshal(b, &c.Peers); err != nil {
			return nil, fmt.Errorf("load identity: %s: %w", filepath.Join(dir, peersFile), err)
		}
	}
	id, err := c.parse()
	if err != nil {
		return nil, fmt.Errorf("load identity from %s: %w; join again", dir, err)
	}
	return id, nil
}

// New makes an identity of credentials that are not on a disk, for tests and
// for a node that has just joined.
func New(c Credentials) (*Identity, error) { return c.parse() }

// parse checks that the parts belong together. A certificate that has expired
// is accepted: the node goes on working by itself, and others refuse it.
func (c Credentials) parse() (*Identity, error) {
	ca, err := ParseCertificate(c.CA)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", caFile, err)
	}
	pair, err := tls.X509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	id, err := OfCertificate(pair.Leaf)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	if err := pair.Leaf.CheckSignatureFrom(ca); err != nil {
		return nil, fmt.Errorf("%s is not signed by %s: %w", certFile, caFile, err)
	}
	if len(c.Gossip) != KeySize {
		return nil, fmt.Errorf("%s: %d bytes, want %d", gossipFile, len(c.Gossip), KeySize)
	}
	if id.Role == fleet.Coordinator && (len(c.CAKey) == 0 || len(c.Session) != KeySize) {
		return nil, fmt.Errorf("%s or %s: missing or cut short, and a coordinator needs them", caKeyFile, sessionFile)
	}
	ring := Single(c.Gossip)
	if c.Ring != nil {
		if err := c.Ring.Check(); err != nil {
			return nil, fmt.Errorf("%s: %w", ringFile, err)
		}
		ring = *c.Ring
	}
	i := &Identity{id: id, ca: ca, pool: x509.NewCertPool(), ring: watch.New(ring), session: c.Session, peers: c.Peers}
	i.pool.AddCert(ca)
	i.cert.Store(&pair)
	return i, nil
}

// ID is who the node is.
func (i *Identity) ID() ID { return i.id }

// SessionKey signs operators' sessions, KeySize bytes; nil on an agent.
func (i *Identity) SessionKey() []byte { return slices.Clone(i.session) }

// Peers are the addresses that the node was told of when it joined.
func (i *Identity) Peers() Peers { return i.peers }

// CA is the certificate of the cluster's authority.
func (i *Identity) CA() *x509.Certificate { return i.ca }

// Expires is when the node's certificate ends.
func (i *Identity) Expires() time.Time { return i.cert.Load().Leaf.NotAfter }

// KeyHash is the KeyHash of the node's own certificate.
func (i *Identity) KeyHash() string { return KeyHash(i.cert.Load().Leaf) }

// Renew puts another certificate of the same node in place of the present one.
// Connections that are open stay; new ones use it.
func (i *Identity) Renew(cert, key []byte) error {
	pair, err := i.successor(cert, key)
	if err != nil {
		return err
	}
	i.cert.Store(pair)
	return nil
}

// SetDeny gives the node its deny list: certificates for which denied returns
// true are refused on both sides, from now on. The arguments are whom the
// certificate names and its KeyHash.
func (i *Identity) SetDeny(denied func(id ID, keyHash string) bool) { i.deny.Store(&denied) }

// ParseCertificate reads the first certificate of a PEM text.
func ParseCertificate(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}
