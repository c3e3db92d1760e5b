package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/identity"
)

// A coordinator whose disk was wiped, or that was reset, has forgotten how it
// voted and what it promised to keep, and the others still count on it. Raft
// itself lets it back in. Here a node that began with an empty log is fresh:
// it neither votes nor stands for election until it has seen, in a committed
// configuration, that it does not count. The leader sees to that (KeepMembers)
// and makes it a voter again once it has caught up.

// keyFresh is the mark in the store; it outlives restarts.
var keyFresh = []byte("prime-spark/fresh")

// errFresh is the answer to those who want a fresh node's vote.
var errFresh = errors.New("this coordinator began with an empty log and does not vote yet")

// freshness knows whether this node is fresh.
type freshness struct {
	store *store
	is    atomic.Bool
}

// readFreshness finds the mark, or sets it on an empty store.
func readFreshness(s *store) (*freshness, error) {
	f := &freshness{store: s}
	mark, err := s.GetUint64(keyFresh)
	switch {
	case err == nil:
		f.is.Store(mark != 0)
		return f, nil
	case !errors.Is(err, errNotFound):
		return nil, err
	}
	f.is.Store(true)
	return f, s.SetUint64(keyFresh, 1)
}

// end takes the mark away.
func (f *freshness) end() error {
	if !f.is.Load() {
		return nil
	}
	if err := f.store.SetUint64(keyFresh, 0); err != nil {
		return fmt.Errorf("note that this coordinator may vote: %w", err)
	}
	f.is.Store(false)
	return nil
}

// matured ends the freshness once a committed configuration says that this node
// does not count: from then on nothing that it forgot matters.
func (n *Node) matured() {
	if !n.fresh.is.Load() {
		return
	}
	f := n.raft.GetConfiguration()
	if f.Error() != nil || f.Index() > n.raft.CommitIndex() {
		return
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) == n.name && s.Suffrage != raft.Voter {
			if err := n.fresh.end(); err != nil {
				n.log.Error("this coordinator cannot become a voter", "err", err, "remedy", "make room on the disk")
				return
			}
			n.log.Info("in the group, may become a voter")
		}
	}
}

// Reset puts the raft log and the snapshots in dir aside, into a directory whose
// path it returns, so that the coordinator starts empty and is filled by the
// others. It is the remedy for ErrCorrupt, and loses what only this coordinator
// has: without others, restore a backup instead. It refuses while a coordinator
// runs on dir.
func Reset(dir string) (aside string, err error) {
	path := filepath.Join(dir, logFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case err == nil:
		defer f.Close()
		if err := lock(f); err != nil {
			return "", err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("reset: %w", err)
	}
	aside = filepath.Join(dir, "damaged-"+time.Now().UTC().Format("20060102T150405.000"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", fmt.Errorf("reset: %w", err)
	}
	// The log goes first: snapshots without a log are complete by themselves, and a
	// journal without one is none.
	for _, name := range []string{logFile, journalFile, "snapshots"} {
		err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return aside, fmt.Errorf("reset: %w", err)
		}
	}
	return aside, identity.SyncDir(dir)
}
