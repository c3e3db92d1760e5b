package enroll

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// A Founding says how a cluster begins.
type Founding struct {
	Dir       string // of the identity; made if it is not there
	Cluster   string // the cluster's name
	Name      string // the first coordinator's name
	Addresses identity.Addresses
	Version   string
	Codes     []CodeSpec    // join codes to make; need Addresses.API
	Life      time.Duration // of the first coordinator's certificate; pki.LeafLife if 0
}

// Founded are the secrets of a new cluster that a person needs, shown once.
type Founded struct {
	Token string   // with access admin
	Codes []string // in the order of Founding.Codes
}

// bootFile holds what the first run turns into the first log entry. There are
// only hashes of secrets in it.
const bootFile = "bootstrap.json"

type boot struct {
	Init fsm.ClusterInit `json:"init"`
	TTLs []time.Duration `json:"ttls"` // of Init.Codes, in ns; they begin to live when the cluster does
}

// Init founds a cluster on this machine: it makes the authority, the keys and
// this coordinator's identity in f.Dir, and notes down the first log entry in
// bootstrap.json, which the first run of the coordinator commits (Bootstrap).
// The raft log is not touched here, so that a crash at any point leaves either a
// machine that has not joined, where Init is run again, or a complete one.
//
// A machine that has an identity is left alone: the error is a Conflict.
func Init(f Founding) (Founded, error) {
	if _, err := identity.Load(f.Dir); !errors.Is(err, fs.ErrNotExist) {
		return Founded{}, &problem.Error{
			Code: problem.Conflict, Err: err,
			Detail: fmt.Sprintf("This machine is a member of a cluster already: there is an identity in %s.", f.Dir),
			Remedy: "Use another data directory, or remove this one if that cluster is gone for good.",
		}
	}
	if !fleet.ValidName(f.Cluster) || !fleet.ValidName(f.Name) {
		return Founded{}, problem.New(problem.Invalid, "Use 1 to 32 of a-z, 0-9 and hyphen.",
			"The name of the cluster (%.64q) or of the node (%.64q) is not valid.", f.Cluster, f.Name)
	}
	if err := f.Addresses.Check(); err != nil {
		return Founded{}, &problem.Error{Code: problem.Invalid, Err: err, Detail: "An advertised address is not valid.", Remedy: "Give host:port, as others reach this machine."}
	}
	now := time.Now()
	ca, err := pki.Create(f.Cluster, now)
	if err != nil {
		return Founded{}, err
	}
	ca.Life = f.Life
	credentials, err := f.credentials(ca, now)
	if err != nil {
		return Founded{}, err
	}
	id, err := identity.New(credentials)
	if err != nil {
		return Founded{}, err
	}
	var founded Founded
	var b boot
	b.Init = fsm.ClusterInit{Name: f.Cluster, Node: fsm.Node{Name: f.Name, Addresses: f.Addresses, Version: f.Version, Key: id.KeyHash()}}
	founded.Token, b.Init.Token = fsm.NewToken("admin", fsm.Admin)
	for _, spec := range f.Codes {
		code, cmd := newCode(spec, ca, []string{f.Addresses.API})
		if err := code.Check(); err != nil {
			return Founded{}, &problem.Error{
				Code: problem.Invalid, Err: err, Detail: "No join code can be made: " + err.Error() + ".",
				Remedy: "Give the address of the API at which new nodes reach this coordinator.",
			}
		}
		founded.Codes = append(founded.Codes, code.String())
		b.Init.Codes, b.TTLs = append(b.Init.Codes, cmd), append(b.TTLs, spec.ttl())
	}
	return founded, f.save(credentials, b)
}

// credentials makes those of the first coordinator.
func (f Founding) credentials(ca *pki.Authority, now time.Time) (identity.Credentials, error) {
	key, csr, err := identity.NewKey(f.Name)
	if err != nil {
		return identity.Credentials{}, err
	}
	id := identity.ID{Cluster: f.Cluster, Role: fleet.Coordinator, Name: f.Name}
	cert, err := ca.Issue(csr, id, hosts(f.Name, f.Addresses), now)
	if err != nil {
		return identity.Credentials{}, err
	}
	caKey, err := ca.Key()
	if err != nil {
		return identity.Credentials{}, err
	}
	c := identity.Credentials{
		CA: ca.PEM(), Cert: cert, Key: key, CAKey: caKey,
		Gossip: make([]byte, identity.KeySize), Session: make([]byte, identity.KeySize),
	}
	rand.Read(c.Gossip) // never fails, by its documentation
	rand.Read(c.Session)
	return c, nil
}

// save writes the note first: it means nothing without the identity, whose
// certificate comes last of all.
func (f Founding) save(c identity.Credentials, b boot) error {
	note, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode %s: %w", bootFile, err)
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("make identity directory: %w", err)
	}
	if err := identity.WriteFile(f.Dir, bootFile, note); err != nil {
		return err
	}
	return c.Save(f.Dir)
}

// Founder is what Bootstrap needs of the raft node.
type Founder interface {
	Bootstrap() error
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
}

// Bootstrap finishes on the first run what Init began, if it did: it makes this
// coordinator the only voter of a new raft group, commits the first entry and
// removes the note. Where there is no note, or one of an Init that was broken
// off, it changes nothing. Doing it twice, after a crash, does no harm.
func Bootstrap(ctx context.Context, dir string, id *identity.Identity, node Founder) error {
	note, err := identity.ReadFile(dir, bootFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
	var b boot
	if err := json.Unmarshal(note, &b); err != nil || len(b.TTLs) != len(b.Init.Codes) {
		return fmt.Errorf("found the cluster: %s is damaged (%v); remove the identity's directory and run init again", filepath.Join(dir, bootFile), err)
	}
	if b.Init.Node.Key == id.KeyHash() {
		if err := node.Bootstrap(); err != nil {
			return err
		}
		for i, ttl := range b.TTLs {
			b.Init.Codes[i].Expires = time.Now().Add(ttl)
		}
		if _, err := node.Propose(ctx, "init", b.Init); err != nil {
			return fmt.Errorf("found the cluster: %w", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, bootFile)); err != nil {
		return fmt.Errorf("found the cluster: %w", err)
	}
	return identity.SyncDir(dir)
}
