package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/problem"
)

// What is here works on the files of a coordinator that does not run.

// single is a group whose only voter is the coordinator of that name.
func single(name, address string) raft.Configuration {
	return raft.Configuration{Servers: []raft.Server{{
		Suffrage: raft.Voter, ID: raft.ServerID(name), Address: raft.ServerAddress(address),
	}}}
}

// Plant makes the raft files of a coordinator in dir, which must not be there
// yet: a group of its own with the given state, in which it is the only voter. It
// is there whole, or not at all.
func Plant(dir, name, address string, s fsm.State) (err error) {
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return problem.New(problem.Conflict, "Move it out of the way, or use another state_dir.", "There is the log of another cluster in %s.", dir)
	}
	making := dir + ".restoring"
	if err := os.RemoveAll(making); err != nil { // what is left of one that was broken off
		return fmt.Errorf("restore the state: %w", err)
	}
	if err := os.MkdirAll(making, 0o700); err != nil {
		return fmt.Errorf("restore the state: %w", err)
	}
	if err := plant(making, name, address, s); err != nil {
		return fmt.Errorf("restore the state: %w", err)
	}
	if err := os.Rename(making, dir); err != nil {
		return fmt.Errorf("restore the state: %w", err)
	}
	return identity.SyncDir(filepath.Dir(dir))
}

func plant(dir, name, address string, s fsm.State) (err error) {
	st, err := openStore(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := st.SetUint64(keyFresh, 0); err != nil { // nobody counts on what it may have forgotten
		return err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, raftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	// The transport is asked for the form of an address in files of raft's older format, which this is not.
	at, unused := raft.NewInmemTransport(raft.ServerAddress(address))
	sink, err := snapshots.Create(raft.SnapshotVersionMax, s.Index, 1, single(name, string(at)), 1, unused)
	if err != nil {
		return err
	}
	if _, err := s.WriteTo(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// ReadState returns the state of a coordinator that does not run, from its files
// in dir: its newest snapshot and all of its log. Entries at the very end of that
// may be ones that the others have not acknowledged; to whom these were proposed
// was told neither that they are done nor that they are not. What the files hold
// does not change.
//
// The error is ErrCorrupt if the files are damaged.
func ReadState(dir string) (state fsm.State, err error) {
	st, snapshots, err := offline(dir)
	if err != nil {
		return fsm.State{}, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	f := fsm.New()
	index, err := newestSnapshot(f, snapshots)
	if err != nil {
		return fsm.State{}, corrupt(filepath.Join(dir, "snapshots"), "every snapshot", err)
	}
	last, err := st.LastIndex()
	if err != nil {
		return fsm.State{}, err
	}
	for i := index + 1; i <= last; i++ {
		var l raft.Log
		if err := st.GetLog(i, &l); errors.Is(err, raft.ErrLogNotFound) {
			return fsm.State{}, corrupt(dir, fmt.Sprintf("log entry %d", i), err)
		} else if err != nil {
			return fsm.State{}, err
		}
		if l.Type == raft.LogCommand {
			f.Apply(&l)
		}
	}
	state, _ = f.State()
	if state.Index == 0 {
		return state, nothing(dir)
	}
	return state, nil
}

// newestSnapshot restores the newest snapshot that is whole and returns its
// index; 0 if there is none at all.
func newestSnapshot(f *fsm.FSM, s raft.SnapshotStore) (uint64, error) {
	list, err := s.List()
	if err != nil {
		return 0, err
	}
	for _, meta := range list {
		_, r, bad := s.Open(meta.ID) // checks its CRC
		if bad == nil {
			bad = f.Restore(r) // closes it
		}
		if bad == nil {
			return meta.Index, nil
		}
		err = errors.Join(err, bad)
	}
	return 0, err
}

// Recover makes this coordinator's files those of a group of which it is the only
// voter, with all that it has. It is for when most coordinators are lost for
// good; the others must never start again with their old files. It returns the
// names of those that the group had besides.
func Recover(dir, name, address string) (lost []string, err error) {
	st, snapshots, err := offline(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if fresh, err := st.GetUint64(keyFresh); err != nil || fresh != 0 {
		return nil, problem.New(problem.Conflict, "Recover from another coordinator, or restore a backup.",
			"This coordinator began with an empty log and has not got everything from the others; it cannot stand for the group.")
	}
	c := raft.DefaultConfig()
	c.LocalID, c.Logger = raft.ServerID(name), raftLogger(slog.New(slog.DiscardHandler))
	at, unused := raft.NewInmemTransport(raft.ServerAddress(address))
	before, err := raft.GetConfiguration(c, fsm.New(), st, st, snapshots, unused)
	if err != nil {
		return nil, fmt.Errorf("read the group: %w", err)
	}
	for _, s := range before.Servers {
		if string(s.ID) != name {
			lost = append(lost, string(s.ID))
		}
	}
	if err := raft.RecoverCluster(c, fsm.New(), st, st, snapshots, unused, single(name, string(at))); err != nil {
		return nil, fmt.Errorf("recover the group: %w", err)
	}
	return lost, nil
}

// offline opens the files of a coordinator that does not run.
func offline(dir string) (*store, raft.SnapshotStore, error) {
	if _, err := os.Stat(filepath.Join(dir, logFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nothing(dir)
	}
	st, err := openStore(dir)
	if errors.Is(err, ErrBusy) {
		return nil, nil, &problem.Error{
			Code: problem.Conflict, Err: err, Detail: "A coordinator runs on " + dir + ".",
			Remedy: "Stop it first; of one that runs, prime-spark backup makes a backup.",
		}
	}
	if err != nil {
		return nil, nil, err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, snapshotsKept, raftLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open snapshots: %w", err), st.Close())
	}
	return st, snapshots, nil
}

func nothing(dir string) error {
	return problem.New(problem.NotFound, "Give the configuration of a coordinator that has run.", "There is no log with anything in it in %s.", dir)
}
