// Package backup keeps the whole of a cluster in one file, and makes a cluster of
// it again.
//
// The file holds the agreed state and the cluster's keys, so it is as secret as
// the cluster itself: all but its header is encrypted (age) to a public key of
// the operator, whose other half no coordinator has. It is never written in the
// clear, nor without a recipient.
//
// Every file is verified by restoring it: see Save.
package backup

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/envelope"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// Keys are what makes a cluster besides its state: every coordinator has them.
type Keys struct {
	CA      []byte `json:"ca"`      // the authority's certificate, PEM
	CAKey   []byte `json:"ca_key"`  // and its private key, PEM
	Gossip  []byte `json:"gossip"`  // identity.KeySize bytes
	Session []byte `json:"session"` // identity.KeySize bytes
}

// Contents are what a file holds.
type Contents struct {
	Keys    Keys
	State   fsm.State
	At      time.Time // when it was made
	Version string    // of the program that made it
}

// check refuses contents of which no cluster could be made, before they are
// written and after they are read.
func (c Contents) check() error {
	ca, err := pki.Parse(c.Keys.CA, c.Keys.CAKey)
	switch {
	case err != nil:
		return fmt.Errorf("the cluster's authority: %w", err)
	case len(c.Keys.Gossip) != identity.KeySize || len(c.Keys.Session) != identity.KeySize:
		return fmt.Errorf("the gossip key has %d bytes and the session key %d, want %d each", len(c.Keys.Gossip), len(c.Keys.Session), identity.KeySize)
	case c.State.Index == 0 || c.State.Cluster.Name != ca.Cluster():
		return fmt.Errorf("the state is of cluster %q, the authority of %q", c.State.Cluster.Name, ca.Cluster())
	}
	return nil
}

// A Recipient is an operator's public key.
type Recipient struct{ key *age.X25519Recipient }

// ParseRecipient reads a public key as age-keygen prints it: "age1...".
func ParseRecipient(text string) (Recipient, error) {
	key, err := age.ParseX25519Recipient(text)
	if err != nil {
		return Recipient{}, &problem.Error{
			Code: problem.Invalid, Err: err,
			Detail: fmt.Sprintf("The recipient %.80q is not a public key of age.", text),
			Remedy: "Make a key with age-keygen -o backup.key, keep that file away from the cluster, and give the line that begins with age1.",
		}
	}
	return Recipient{key}, nil
}

// String is the key's text.
func (r Recipient) String() string {
	if r.key == nil {
		return ""
	}
	return r.key.String()
}

// An Identity opens what was encrypted to its public half.
type Identity struct{ keys []age.Identity }

// maxKeys bounds the file of private keys, in bytes.
const maxKeys = 64 << 10

// ParseIdentity reads the file that age-keygen wrote: private keys, one a line.
func ParseIdentity(r io.Reader) (Identity, error) {
	keys, err := age.ParseIdentities(io.LimitReader(r, maxKeys))
	if err != nil {
		// The error of the library may quote the line, which is a secret.
		return Identity{}, problem.New(problem.Invalid, "Give the file that age-keygen -o wrote, with the line AGE-SECRET-KEY-1...",
			"This is no file with a private key of age.")
	}
	return Identity{keys}, nil
}

// ErrDamaged is the kind of an error that lies in the bytes of the file.
var ErrDamaged = envelope.ErrDamaged

// write writes the file for all who may read it.
func (c Contents) write(w io.Writer, to ...age.Recipient) (envelope.Header, error) {
	h := envelope.Header{
		Format: envelope.Format, Cluster: c.State.Cluster.Name, At: c.At.UTC(),
		Index: c.State.Index, Checksum: c.State.Checksum(), Version: c.Version,
	}
	outer, err := envelope.NewWriter(w, h)
	if err != nil {
		return h, err
	}
	inner, err := age.Encrypt(outer, to...)
	if err != nil {
		return h, fmt.Errorf("encrypt the backup: %w", err)
	}
	if err := json.NewEncoder(inner).Encode(c.Keys); err != nil {
		return h, fmt.Errorf("write the backup: %w", err)
	}
	if _, err := c.State.WriteTo(inner); err != nil {
		return h, err
	}
	if err := inner.Close(); err != nil {
		return h, fmt.Errorf("write the backup: %w", err)
	}
	return h, outer.Close()
}

// Read checks the whole file, opens it and returns what is in it. The error is
// ErrDamaged for a file that is not as it was written, and a problem.Forbidden if
// it was made for another key.
func Read(r io.ReadSeeker, key Identity) (Contents, error) {
	h, body, err := envelope.Open(r)
	if err != nil {
		return Contents{}, err
	}
	damaged := func(err error) error { return fmt.Errorf("%w: %w", ErrDamaged, err) }
	plain, err := age.Decrypt(body, key.keys...)
	if none, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return Contents{}, &problem.Error{
			Code: problem.Forbidden, Err: none, Detail: "The key does not open this backup: it was made for another one.",
			Remedy: "Give the private key that belongs to backup.recipient, as it was when the backup was made.",
		}
	}
	if err != nil {
		return Contents{}, damaged(err)
	}
	in := bufio.NewReaderSize(plain, maxKeys)
	line, err := in.ReadSlice('\n')
	if err != nil {
		return Contents{}, damaged(fmt.Errorf("keys: %w", err))
	}
	c := Contents{At: h.At, Version: h.Version}
	if err := json.Unmarshal(line, &c.Keys); err != nil {
		return Contents{}, damaged(errors.New("the keys are not JSON"))
	}
	if c.State, err = fsm.ReadState(in); err != nil {
		return Contents{}, damaged(err)
	}
	if err := c.check(); err != nil {
		return Contents{}, damaged(err)
	}
	// The header is not encrypted, so it is only believed where the body agrees.
	if h.Index != c.State.Index || h.Checksum != c.State.Checksum() || h.Cluster != c.State.Cluster.Name {
		return Contents{}, damaged(errors.New("its header speaks of another state"))
	}
	return c, nil
}

// Save writes the contents to an empty file, encrypted to the recipient, and
// verifies it: it reads the file again from its beginning, decrypts it, restores
// the state and compares its checksum and the keys with what was to be saved.
//
// For that the file is encrypted to a second key as well, which is made here for
// this file alone, is never stored and is forgotten before Save returns. What
// cannot be verified without the operator's private key is only that he still
// has it.
func Save(f io.ReadWriteSeeker, c Contents, to Recipient) (envelope.Header, error) {
	if to.key == nil {
		return envelope.Header{}, problem.New(problem.Invalid, "Set backup.recipient, or give a recipient with the request; age-keygen -o backup.key makes one.",
			"There is no public key to encrypt the backup to.")
	}
	if err := c.check(); err != nil {
		return envelope.Header{}, fmt.Errorf("back up: %w", err)
	}
	probe, err := age.GenerateX25519Identity()
	if err != nil {
		return envelope.Header{}, fmt.Errorf("back up: %w", err)
	}
	h, err := c.write(f, to.key, probe.Recipient())
	if err != nil {
		return h, err
	}
	return h, verify(f, c, Identity{[]age.Identity{probe}})
}

// verify restores what the file holds into a state of its own and compares.
func verify(f io.ReadSeeker, want Contents, key Identity) error {
	got, err := Read(f, key)
	if err != nil {
		return fmt.Errorf("verify the backup: %w", err)
	}
	if got.State.Checksum() != want.State.Checksum() || !got.Keys.equal(want.Keys) {
		return fmt.Errorf("verify the backup: %w: it holds something else than was written", ErrDamaged)
	}
	return nil
}

func (k Keys) equal(o Keys) bool {
	return string(k.CA) == string(o.CA) && string(k.CAKey) == string(o.CAKey) &&
		string(k.Gossip) == string(o.Gossip) && string(k.Session) == string(o.Session)
}
