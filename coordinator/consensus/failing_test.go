package consensus

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// TestDiskThatFails: entries that could not be written are neither lost nor said
// to be stored, and when the disk is well again the store is.
func TestDiskThatFails(t *testing.T) {
	s := newStore(t)
	if err := s.StoreLogs(entries(1, 5, 20)); err != nil {
		t.Fatal(err)
	}
	whole := s.journal.f
	readOnly, err := os.Open(whole.Name())
	if err != nil {
		t.Fatal(err)
	}
	s.journal.f = readOnly
	if err := s.StoreSoon(entries(6, 7, 20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err == nil {
		t.Fatal("flushed to a disk that takes nothing")
	}
	// bbolt's file can be written: it takes what waits, and then the journal fails anew.
	if err := s.StoreLogs(entries(8, 8, 20)); err != nil {
		t.Fatal(err)
	}
	if err := s.StoreLogs(entries(9, 9, 20)); err == nil {
		t.Fatal("stored on a disk that takes nothing")
	}
	s.journal.f = whole
	if err := readOnly.Close(); err != nil {
		t.Fatal(err)
	}
	for i := uint64(9); i < 12; i++ {
		if err := s.StoreLogs(entries(i, i, 20)); err != nil {
			t.Fatal(err)
		}
		cut := afterPowerCut(t, s)
		if first, last := edges(t, cut); first != 1 || last != i {
			t.Errorf("entries %d to %d after a power cut, want 1 to %d", first, last, i)
		}
		contentOf(t, cut)
	}
}

// TestCommitThatFails: as long as bbolt does not show what it could not commit, the
// store goes on; when it does, nothing is taken until the store is opened anew. All
// that was acknowledged outlives a power cut at any time.
func TestCommitThatFails(t *testing.T) {
	errDisk := errors.New("input/output error")
	for name, shown := range map[string]bool{"before anything": false, "when it shows": true} {
		t.Run(name, func(t *testing.T) {
			s := smallJournal(t)
			commit, failing := s.commit, false
			s.commit = func(f func(*bbolt.Tx) error) error {
				if !failing {
					return commit(f)
				}
				if shown {
					return errors.Join(commit(f), errDisk)
				}
				return errDisk
			}
			next, failures := uint64(1), 0
			for step := range 40 {
				failing = step%10 >= 5
				if err := s.StoreLogs(entries(next, next+2, 900)); err == nil {
					next += 3
				} else if failures++; !errors.Is(err, errDisk) {
					t.Fatal(err)
				}
				cut := afterPowerCut(t, s)
				if _, last := edges(t, cut); last+1 < next {
					t.Fatalf("step %d: the last entry is %d after a power cut, and %d was acknowledged", step, last, next-1)
				}
				contentOf(t, cut)
			}
			failing = false
			err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 9), s.DeleteRange(1, 2), s.Flush())
			if failures == 0 || errors.Is(err, errDisk) != shown {
				t.Errorf("%d failures, and afterwards %v; want some, and an error only of a store that nobody can tell what it holds: %t", failures, err, shown)
			}
		})
	}
}

// TestDiskThatRefusesIsTold: entries are not taken on trust by a store whose disk did
// not take the ones before, nor when much waits.
func TestDiskThatRefusesIsTold(t *testing.T) {
	s := newStore(t)
	err := errors.Join(s.StoreLogs(entries(1, 5, 20)), s.StoreSoon(entries(6, 6, 20)))
	if err != nil {
		t.Fatal(err)
	}
	errDisk := errors.New("input/output error")
	var fails error
	s.before = func() error { return fails }
	fails = errDisk
	if err := s.Flush(); !errors.Is(err, errDisk) {
		t.Fatalf("flushed: %v", err)
	}
	if err := s.StoreSoon(entries(7, 7, 20)); !errors.Is(err, errDisk) {
		t.Errorf("taken by a disk that refuses: %v", err)
	}
	fails = nil
	if err := errors.Join(s.StoreSoon(entries(7, 7, soonBytes)), s.StoreSoon(entries(8, 8, 20))); err != nil {
		t.Fatal(err)
	}
	if _, last := edges(t, afterPowerCut(t, s)); last != 7 {
		t.Errorf("entry %d is the last on the disk, want 7: too much may not wait", last)
	}
}

// TestNoRoomForAJournal: where it cannot be made, bbolt takes each change, and the
// journal is made once there is room.
func TestNoRoomForAJournal(t *testing.T) {
	s := newStore(t)
	s.journal.create = func(string, int) (*os.File, error) {
		return nil, &os.PathError{Op: "fallocate", Path: journalFile, Err: unix.ENOSPC}
	}
	if err := errors.Join(s.StoreLogs(entries(1, 3, 30)), s.SetUint64([]byte("CurrentTerm"), 3), s.StoreLogs(entries(4, 4, 30))); err != nil {
		t.Fatal(err)
	}
	for i := uint64(5); i < 9; i++ {
		if d := cmp.Diff(contentOf(t, s), contentOf(t, afterPowerCut(t, s))); d != "" {
			t.Errorf("a power cut changes (-before +after):\n%s", d)
		}
		s.journal.create = createJournal
		if err := s.StoreLogs(entries(i, i, 30)); err != nil {
			t.Fatal(err)
		}
	}
	if s.journal.f == nil || s.journal.number == 0 {
		t.Error("there is room, and no journal is used")
	}
}
