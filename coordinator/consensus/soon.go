package consensus

import (
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// A leader's disk and those of its followers write at the same time. Raft has a
// leader store entries first and send them then; soon has it send them at once,
// and guard.AppendEntries believes no follower that it has entries until this
// node has them on its own disk too. So raft counts an entry as committed when
// the leader and enough followers have it on their disks, as ever.
//
// A goroutine of its own writes what was taken, and begins while raft still wakes
// those who send it. Whoever needs it on the disk sees to that himself where that
// one has failed, or has not come to it.
//
// That asks for followers: a leader that is the only voter commits by itself. And
// of what it stored so, nothing may be taken for safe by others after it lost the
// lead: with the next term, which it stores before it answers anybody, all that
// waits is on its disk.
type soon struct {
	*store
	raft  atomic.Pointer[raft.Raft] // nil while it starts
	name  raft.ServerID
	taken chan struct{} // has room for one: there is something to write
}

// write writes what was taken, as soon as it was, until stop closes.
func (s *soon) write(stop <-chan struct{}) {
	for {
		select {
		case <-s.taken:
			_ = s.Flush() // a disk that failed is told to who needs the entries there (guard)
		case <-stop:
			return
		}
	}
}

// StoreLogs stores entries at once if this node does not lead, is the only voter,
// or the entries change who votes.
func (s *soon) StoreLogs(logs []*raft.Log) error {
	if r := s.raft.Load(); r == nil || r.State() != raft.Leader || !s.needsOthers(r) || !commands(logs) {
		return s.store.StoreLogs(logs)
	}
	err := s.StoreSoon(logs)
	select {
	case s.taken <- struct{}{}:
	default: // it was told already
	}
	return err
}

// StoreLog stores one entry.
func (s *soon) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// needsOthers tells whether some other node has to have an entry before it is
// committed, in the configuration that raft goes by now.
func (s *soon) needsOthers(r *raft.Raft) bool {
	f := r.GetConfiguration() // complete when it is made
	if f.Error() != nil {
		return false // shut down
	}
	for _, server := range f.Configuration().Servers {
		if server.Suffrage == raft.Voter && server.ID != s.name {
			return true
		}
	}
	return false
}

func commands(logs []*raft.Log) bool {
	for _, l := range logs {
		if l.Type != raft.LogCommand {
			return false
		}
	}
	return true
}
