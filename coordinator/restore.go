package coordinator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"primespark/coordinator/backup"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/version"
)

// A Saved backup, or one that was restored, as the commands show it.
type Saved struct {
	Cluster  string    `json:"cluster"`
	At       time.Time `json:"at"`
	Index    uint64    `json:"index"`          // of the last command in the state
	Checksum string    `json:"state_checksum"` // of the state
	Nodes    []string  `json:"nodes,omitempty"`
}

// Backup writes the state of a coordinator that does not run to a file,
// encrypted to a public key of age, and verifies it.
func Backup(cfg config.Config, path, recipient string) (_ Saved, err error) {
	defer give(cfg, &err)
	id, err := load(cfg)
	if err != nil {
		return Saved{}, err
	}
	if recipient == "" {
		recipient = cfg.Backup.Recipient
	}
	to, err := backup.ParseRecipient(recipient)
	if err != nil {
		return Saved{}, err
	}
	keys, err := clusterKeys(cfg, id)
	if err != nil {
		return Saved{}, err
	}
	state, err := consensus.ReadState(raftDir(cfg))
	if err != nil {
		return Saved{}, err
	}
	h, err := backup.SaveFile(path, backup.Contents{Keys: keys, State: state, At: time.Now(), Version: version.Number}, to)
	return Saved{Cluster: h.Cluster, At: h.At, Index: h.Index, Checksum: h.Checksum}, err
}

// clusterKeys are those that every coordinator has, for a backup.
func clusterKeys(cfg config.Config, id *identity.Identity) (backup.Keys, error) {
	authority, err := pki.Load(identityDir(cfg))
	if err != nil {
		return backup.Keys{}, fmt.Errorf("load the cluster's authority: %w", err)
	}
	key, err := authority.Key()
	if err != nil {
		return backup.Keys{}, err
	}
	gossip := id.Keyring().Get().Key(0) // later generations are made of the session key and the state
	if gossip == nil {
		gossip = id.GossipKey()
	}
	return backup.Keys{CA: authority.PEM(), CAKey: key, Gossip: gossip, Session: id.SessionKey()}, nil
}

// CheckBackup opens a backup with the operator's key and returns what it is of.
// It changes nothing.
func CheckBackup(file io.ReadSeeker, key io.Reader) (Saved, error) {
	c, err := open(file, key)
	return told(c), err
}

func open(file io.ReadSeeker, key io.Reader) (backup.Contents, error) {
	id, err := backup.ParseIdentity(key)
	if err != nil {
		return backup.Contents{}, err
	}
	return backup.Read(file, id)
}

func told(c backup.Contents) Saved {
	s := Saved{Cluster: c.State.Cluster.Name, At: c.At, Index: c.State.Index, Checksum: c.State.Checksum()}
	for _, n := range c.State.NodeList() {
		if n.Active() {
			s.Nodes = append(s.Nodes, n.Name)
		}
	}
	return s
}

// Restore makes this host the first coordinator of the cluster in a backup: the
// only voter of a new group, with the state as it was saved and a new identity by
// the cluster's own authority. Everybody keeps his record; nodes that run find
// this one by gossip, and further coordinators join it with codes.
//
// The state directory must be an unused one. Once it runs, the name's old key is
// refused everywhere.
func Restore(cfg config.Config, file io.ReadSeeker, key io.Reader) (_ Saved, err error) {
	defer give(cfg, &err)
	if err := whole(cfg, "restore a cluster"); err != nil {
		return Saved{}, err
	}
	if _, err := identity.Load(identityDir(cfg)); !errors.Is(err, fs.ErrNotExist) {
		return Saved{}, &problem.Error{
			Code: problem.Conflict, Err: err, Detail: "This host is a coordinator already: there is an identity in " + identityDir(cfg) + ".",
			Remedy: "Restore on a host that is none, or into another state_dir.",
		}
	}
	if err := unused(cfg); err != nil {
		return Saved{}, err
	}
	c, err := open(file, key)
	if err != nil {
		return Saved{}, err
	}
	at, err := planned(cfg)
	if err != nil {
		return Saved{}, err
	}
	switch n, known := c.State.Nodes[cfg.Name]; {
	case at.Raft == "":
		return Saved{}, problem.New(problem.Invalid, "Give raft.listen a port, or set raft.advertise.", "The address of the raft port is not known before it is open.")
	case known && n.Role != fleet.Coordinator:
		return Saved{}, problem.New(problem.Conflict, "Give this coordinator another name with --name.", "The %s %s has this name in the backup.", n.Role, n.Name)
	}
	return told(c), rebuild(cfg, c, at)
}

// rebuild writes the identity and the log. The identity's certificate comes last:
// without it there is no coordinator here, and Restore is simply run again.
func rebuild(cfg config.Config, c backup.Contents, at identity.Addresses) error {
	authority, err := pki.Parse(c.Keys.CA, c.Keys.CAKey)
	if err != nil {
		return err
	}
	key, csr, err := identity.NewKey(cfg.Name)
	if err != nil {
		return err
	}
	who := identity.ID{Cluster: c.State.Cluster.Name, Role: fleet.Coordinator, Name: cfg.Name}
	cert, err := authority.Issue(csr, who, hostsOf(cfg.Name, at), time.Now())
	if err != nil {
		return err
	}
	hash, err := pki.KeyHash(csr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(identityDir(cfg), 0o700); err != nil {
		return fmt.Errorf("make identity directory: %w", err)
	}
	ring, err := keyring(c.State.Gossip, c.Keys.Session, identity.Single(c.Keys.Gossip))
	if err != nil {
		return err
	}
	if err := noteReturn(identityDir(cfg), cfg.Name, at, hash); err != nil {
		return err
	}
	if err := consensus.Plant(raftDir(cfg), cfg.Name, at.Raft, c.State); err != nil {
		return err
	}
	err = identity.Credentials{
		CA: c.Keys.CA, Cert: cert, Key: key, CAKey: c.Keys.CAKey, Gossip: c.Keys.Gossip, Ring: &ring, Session: c.Keys.Session,
		Peers: identity.Peers{Gossip: lastSeen(c.State, cfg.Name)},
	}.Save(identityDir(cfg))
	if err != nil {
		return errors.Join(err, os.RemoveAll(raftDir(cfg))) // so that it can be tried again
	}
	return nil
}

func hostsOf(name string, a identity.Addresses) []string {
	all := []string{name}
	for _, at := range []string{a.API, a.Raft, a.Gossip} {
		if host, _, err := net.SplitHostPort(at); err == nil && host != "" {
			all = append(all, host)
		}
	}
	return all
}

// lastSeen is where nodes were reached by gossip when the backup was made: those
// that still run are the way back to the fleet.
func lastSeen(s fsm.State, but string) (all []string) {
	const most = 64
	for _, n := range s.NodeList() {
		if n.Active() && n.Name != but && n.Addresses.Gossip != "" && len(all) < most {
			all = append(all, n.Addresses.Gossip)
		}
	}
	return all
}

// returnFile holds what the first run after a restore has the state told: that
// the coordinator of this name has another key and perhaps another address.
const returnFile = "restored.json"

type comeback struct {
	Code fsm.CodeCreate `json:"code"` // that the join uses up
	Join fsm.NodeJoin   `json:"join"`
}

func noteReturn(dir, name string, at identity.Addresses, key string) error {
	hash := fsm.Hash(fsm.NewID() + fsm.NewID()) // of a secret that nobody is told
	code := fsm.CodeCreate{ID: fsm.NewID(), Hash: hash, Role: fleet.Coordinator, Rejoin: true}
	b, err := json.Marshal(comeback{code, fsm.NodeJoin{
		Code: code.ID, Hash: hash, Name: name, Role: fleet.Coordinator, Addresses: at, Version: version.Number, Key: key,
	}})
	if err != nil {
		return fmt.Errorf("encode %s: %w", returnFile, err)
	}
	return identity.WriteFile(dir, returnFile, b)
}

// returning finishes what Restore began, on the first run: it has the group take
// this coordinator's new identity over, and removes the note. Where there is no
// note it changes nothing. Doing it twice, after a crash, does no harm.
func returning(ctx context.Context, dir string, id *identity.Identity, node group) error {
	note, err := identity.ReadFile(dir, returnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finish the restore: %w", err)
	}
	var c comeback
	if err := json.Unmarshal(note, &c); err != nil {
		return fmt.Errorf("finish the restore: %s is damaged (%w); remove the state directory and restore again", filepath.Join(dir, returnFile), err)
	}
	if c.Join.Key == id.KeyHash() {
		c.Code.Expires = time.Now().Add(time.Hour)
		for _, command := range []fsm.Command{fsm.Prune{}, c.Code, c.Join} { // prune makes room, and drops this code if it is an old one
			if state, _ := node.State(); state.Nodes[c.Join.Name].Key == c.Join.Key {
				break // the first run got as far as that
			}
			if _, err := node.Propose(ctx, "restore", command); err != nil {
				return fmt.Errorf("finish the restore: %w", err)
			}
		}
	}
	if err := os.Remove(filepath.Join(dir, returnFile)); err != nil {
		return fmt.Errorf("finish the restore: %w", err)
	}
	return identity.SyncDir(dir)
}

// A group is what returning needs of the raft node.
type group interface {
	State() (fsm.State, <-chan struct{})
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
}

// Recovered is a coordinator that goes on alone.
type Recovered struct {
	Name string   `json:"name"`
	Lost []string `json:"lost"` // the coordinators that the group had besides
}

// Recover makes this coordinator the only voter of its group, with all that it
// has. It refuses while the coordinator runs.
func Recover(cfg config.Config) (_ Recovered, err error) {
	defer give(cfg, &err)
	if err := whole(cfg, "go on alone"); err != nil {
		return Recovered{}, err
	}
	id, err := load(cfg)
	if err != nil {
		return Recovered{}, err
	}
	at, err := planned(cfg)
	if err != nil {
		return Recovered{}, err
	}
	if at.Raft == "" {
		return Recovered{}, problem.New(problem.Invalid, "Give raft.listen a port, or set raft.advertise.", "The address of the raft port is not known before it is open.")
	}
	name := id.ID().Name
	lost, err := consensus.Recover(raftDir(cfg), name, at.Raft)
	return Recovered{Name: name, Lost: lost}, err
}

// until tries what needs a leader until it is done: at the beginning there is
// none yet.
func until(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil || !electing(err) || !run.Sleep(ctx, run.Jitter(time.Second)) {
			return err
		}
	}
}
