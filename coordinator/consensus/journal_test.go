package consensus

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
)

// contentOf is what a store holds, in words.
func contentOf(t testing.TB, s *store) (all []string) {
	t.Helper()
	first, last := edges(t, s)
	for i := first; i <= last && i > 0; i++ {
		var l raft.Log
		if err := s.GetLog(i, &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(l.Index, l.Term, l.Type, string(l.Data)))
	}
	for _, key := range []string{"CurrentTerm", "LastVoteCand"} {
		if v, err := s.Get([]byte(key)); err == nil {
			all = append(all, key+string(v))
		}
	}
	return all
}

// afterPowerCut opens a copy of what a store has on the disk now.
func afterPowerCut(t testing.TB, s *store) *store {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{logFile, journalFile} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(s.path), name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := errors.Join(err, os.WriteFile(filepath.Join(dir, name), b, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// smallJournal is a store whose journal is full after some batches.
func smallJournal(t testing.TB) *store {
	s := newStore(t)
	s.journal.size = 6 * blockSize
	return s
}

// TestWhatIsStoredOutlivesAPowerCut changes a store at random and looks after each
// change what a power cut would leave, and now and then goes on from there.
func TestWhatIsStoredOutlivesAPowerCut(t *testing.T) {
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := smallJournal(t)
		for step := range 60 {
			first, last := edges(t, s)
			var err error
			switch n := r.IntN(10); {
			case n < 5:
				err = s.StoreLogs(entries(last+1, last+1+r.Uint64N(4), 1+r.IntN(3000)))
			case n < 7:
				if err = s.StoreSoon(entries(last+1, last+1, 40)); err == nil {
					err = s.Flush()
				}
			case n < 8:
				err = s.SetUint64([]byte("CurrentTerm"), r.Uint64())
			case n < 9 && last-first > 3:
				err = s.DeleteRange(last-r.Uint64N(3), last)
			case last-first > 8:
				err = s.DeleteRange(first, first+r.Uint64N(4))
			}
			if err != nil {
				t.Fatal(err)
			}
			cut := afterPowerCut(t, s)
			if d := cmp.Diff(contentOf(t, s), contentOf(t, cut)); d != "" {
				t.Fatalf("seed %d, step %d: a power cut changes (-before +after):\n%s", seed, step, d)
			}
			switch r.IntN(8) {
			case 0:
				s = cut
			case 1:
				s = reopen(t, cut)
			}
		}
	}
}

// TestFlushTo: what was taken is on the disk, and neither written again where
// somebody else has, nor together with what came later.
func TestFlushTo(t *testing.T) {
	s := newStore(t)
	if err := s.StoreLogs(entries(1, 10, 20)); err != nil {
		t.Fatal(err)
	}
	if err := s.FlushTo(s.Taken()); err != nil {
		t.Fatalf("nothing was taken: %v", err)
	}
	take := func(index uint64) uint64 {
		if err := s.StoreSoon(entries(index, index, 20)); err != nil {
			t.Fatal(err)
		}
		return s.Taken()
	}
	first := take(11)
	if err := s.Flush(); err != nil { // somebody else
		t.Fatal(err)
	}
	second := take(12)
	at := s.journal.at
	if err := s.FlushTo(first); err != nil || s.journal.at != at {
		t.Errorf("entry 11 was on the disk: %v, and %d bytes were written", err, s.journal.at-at)
	}
	if err := s.FlushTo(second); err != nil || s.journal.at == at || len(s.queue) > 0 {
		t.Errorf("entry 12 was not: %v, %d bytes were written and %d wait", err, s.journal.at-at, len(s.queue))
	}
	third := take(13)
	if err := s.DeleteRange(1, 5); err != nil { // bbolt takes all
		t.Fatal(err)
	}
	number := s.journal.number
	if err := s.FlushTo(third); err != nil || s.journal.number != number {
		t.Errorf("entry 13 is in bbolt: %v, and batch %d was written", err, s.journal.number)
	}
}

// TestStoreSoon: what is taken is read at once, and on the disk when anything else
// is.
func TestStoreSoon(t *testing.T) {
	for name, settle := range map[string]func(*store) error{
		"flush":    (*store).Flush,
		"entry":    func(s *store) error { return s.StoreLog(entry(13, 5)) },
		"value":    func(s *store) error { return s.SetUint64([]byte("CurrentTerm"), 8) },
		"deletion": func(s *store) error { return s.DeleteRange(1, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			if err := errors.Join(s.StoreLogs(entries(1, 10, 20)), s.StoreSoon(entries(11, 12, 20))); err != nil {
				t.Fatal(err)
			}
			var l raft.Log
			if err := s.GetLog(12, &l); err != nil {
				t.Fatal(err)
			}
			if _, last := edges(t, afterPowerCut(t, s)); last != 10 {
				t.Fatalf("the last entry on the disk is %d, want 10: StoreSoon has waited", last)
			}
			if err := s.StoreSoon(entries(12, 12, 1)); err == nil {
				t.Error("an entry that is there was stored again")
			}
			if err := settle(s); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(contentOf(t, s), contentOf(t, afterPowerCut(t, s))); d != "" {
				t.Errorf("a power cut changes (-before +after):\n%s", d)
			}
		})
	}
}

// TestTakenWhileSettling has entries come while bbolt takes those before them, and
// drops all that it has.
func TestTakenWhileSettling(t *testing.T) {
	for name, settled := range map[string]bool{"after others": false, "after none": true} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			err := s.StoreLogs(entries(1, 10, 20))
			if settled {
				err = errors.Join(err, s.DeleteRange(6, 10), s.StoreLogs(entries(6, 7, 20)), s.DeleteRange(1, 1))
			}
			_, last := edges(t, s)
			s.write.Lock()
			err = errors.Join(err, s.settle(nil, func(tx *bbolt.Tx) error {
				_, err := drop(tx, 1, last, math.MaxInt, math.MaxInt)
				return errors.Join(s.StoreSoon(entries(last+1, last+3, 20)), err)
			}))
			s.write.Unlock()
			if err := errors.Join(err, s.Flush()); err != nil {
				t.Fatal(err)
			}
			for _, s := range []*store{s, afterPowerCut(t, s)} {
				if first, now := edges(t, s); first != last+1 || now != last+3 {
					t.Errorf("entries %d to %d, want %d to %d", first, now, last+1, last+3)
				}
				contentOf(t, s)
			}
		})
	}
}

func TestDamagedJournalIsRefused(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"missing":   os.Remove,
		"cut off":   func(p string) error { return os.Truncate(p, journalSize/2) },
		"too long":  func(p string) error { return os.Truncate(p, 2*journalSize) },
		"empty":     func(p string) error { return os.Truncate(p, 0) },
		"a flip":    func(p string) error { return patch(p, 2*blockSize+100, 0xff) },
		"last flip": func(p string) error { return patch(p, 9*blockSize+60, 0xff) },
		"a hole":    func(p string) error { return patch(p, 0, make([]byte, blockSize)...) },
		"another's": func(p string) error { return patch(p, 0, encodeBatch(1<<63, 0, []byte("x"))...) },
		"no change": func(p string) error {
			b, err := os.ReadFile(p)
			h, herr := readHead(b[9*blockSize:])
			return errors.Join(err, herr, patch(p, 9*blockSize, encodeBatch(h.generation, h.number, []byte("a good batch without a change"))...))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			// The first change makes the journal and goes into bbolt.
			if err := s.StoreLogs(entries(1, 3, 60)); err != nil {
				t.Fatal(err)
			}
			for i := uint64(4); i < 14; i++ {
				if err := s.StoreLogs(entries(i, i, 60)); err != nil {
					t.Fatal(err)
				}
			}
			dir := filepath.Dir(afterPowerCut(t, s).path)
			copied := filepath.Join(t.TempDir(), "raft")
			if err := errors.Join(os.CopyFS(copied, os.DirFS(dir)), damage(filepath.Join(copied, journalFile))); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(copied, journalFile)
			_, err := openStore(copied)
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("opened: %v, want ErrCorrupt", err)
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), Repair) {
				t.Errorf("%q names neither the file nor the remedy", err)
			}
		})
	}
}

// patch writes bytes into a file.
func patch(path string, at int64, b ...byte) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, at)
	return errors.Join(err, f.Close())
}

// TestStoreOfAnOlderVersion opens a log that was written before there was a
// journal, next to whatever lies where the journal will be.
func TestStoreOfAnOlderVersion(t *testing.T) {
	for name, lies := range map[string][]byte{"nothing": nil, "something": encodeBatch(3, 0, []byte("no change"))} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			f, err := os.Open("testdata/without-journal.db.gz")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(z)
			if err := errors.Join(err, os.WriteFile(filepath.Join(dir, logFile), b, 0o600)); err != nil {
				t.Fatal(err)
			}
			if lies != nil {
				if err := os.WriteFile(filepath.Join(dir, journalFile), lies, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			s, err := openStore(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			for last := uint64(40); last < 45; last++ {
				if got := contentOf(t, s); len(got) != int(last-10)+2 || got[0] != fmt.Sprint(11, 3, raft.LogCommand, strings.Repeat("1", 20)) {
					t.Fatalf("%d records, want entries 11 to %d and two values; the first is %q", len(got), last, got[0])
				}
				if err := s.StoreLogs(entries(last+1, last+1, 30)); err != nil {
					t.Fatal(err)
				}
				s = afterPowerCut(t, s)
			}
		})
	}
}

// TestClosedStoreHasNoJournal: a program that does not know of journals may go on with
// a store that was closed, and has everything. It refuses one that was not.
func TestClosedStoreHasNoJournal(t *testing.T) {
	older := func(s *store) error {
		b, err := os.ReadFile(s.path)
		if err != nil {
			return err
		}
		known := checkRecords()
		logs := 0
		_, err = checkFile(bytes.NewReader(b), int64(len(b)), func(bucket string, key, value []byte) (string, error) {
			switch bucket {
			case "logs":
				logs++
			case "stable":
			default:
				return bucket, errRecord // as before there were journals
			}
			return known(bucket, key, value)
		})
		if err == nil && logs != 12 {
			err = fmt.Errorf("%d entries, want 12", logs)
		}
		return err
	}
	s := newStore(t)
	for i := uint64(1); i <= 12; i++ {
		if err := s.StoreLogs(entries(i, i, 30)); err != nil {
			t.Fatal(err)
		}
	}
	if err := older(afterPowerCut(t, s)); !errors.Is(err, errRecord) {
		t.Errorf("not closed, and an older program says: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := older(s); err != nil {
		t.Errorf("closed, and an older program says: %v", err)
	}
	s = reopen(t, s)
	if err := errors.Join(s.StoreLogs(entries(13, 13, 30)), s.StoreLogs(entries(14, 14, 30))); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(contentOf(t, s), contentOf(t, afterPowerCut(t, s))); d != "" {
		t.Errorf("a power cut after it was opened again changes (-before +after):\n%s", d)
	}
}

// TestManyReadWhileOneWrites has entries read, flushed and dropped by others while
// they are stored, as raft's goroutines do.
func TestManyReadWhileOneWrites(t *testing.T) {
	s := smallJournal(t)
	if err := s.StoreLogs(entries(1, 1, 30)); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	beside := func(work func(first, last uint64) error) {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := work(edges(t, s)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	beside(func(_, last uint64) error {
		var l raft.Log
		err := s.GetLog(last, &l)
		if first, _ := edges(t, s); errors.Is(err, raft.ErrLogNotFound) && first > last {
			return nil // dropped by now
		}
		if err == nil && l.Index != last {
			err = fmt.Errorf("entry %d is read as %d", last, l.Index)
		}
		return err
	})
	beside(func(_, _ uint64) error { return s.Flush() })
	beside(func(_, last uint64) error { return s.SetUint64([]byte("CurrentTerm"), last) })
	beside(func(first, last uint64) error {
		if last < first+20 {
			return nil
		}
		return s.DeleteRange(first, last-10)
	})
	for i := uint64(2); i < 300; i++ {
		err := s.StoreSoon(entries(i, i, 30))
		if err == nil && i%5 == 0 {
			err = s.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	others.Wait()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(contentOf(t, s), contentOf(t, afterPowerCut(t, s))); d != "" {
		t.Errorf("a power cut changes (-before +after):\n%s", d)
	}
}
