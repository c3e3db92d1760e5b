package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func entry(i uint64, size int) *raft.Log {
	return &raft.Log{
		Index: i, Term: 3, Type: raft.LogCommand, Data: []byte(strings.Repeat(fmt.Sprint(i%10), size)),
		Extensions: []byte("x"), AppendedAt: time.Unix(1e9, 5),
	}
}

func entries(first, last uint64, size int) (all []*raft.Log) {
	for i := first; i <= last; i++ {
		all = append(all, entry(i, size))
	}
	return all
}

func newStore(t testing.TB) *store {
	t.Helper()
	s, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStoreKeepsWhatItIsGiven(t *testing.T) {
	s := newStore(t)
	for range 2 { // the second time from the disk
		if first, last := edges(t, s); first != 0 || last != 0 {
			t.Fatalf("an empty store has entries %d to %d", first, last)
		}
		if err := s.StoreLogs(entries(7, 300, 40)); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(7, 19); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteRange(290, 300); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s)
		if first, last := edges(t, s); first != 20 || last != 289 {
			t.Errorf("entries %d to %d, want 20 to 289", first, last)
		}
		var got raft.Log
		if err := s.GetLog(20, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(*entry(20, 40), got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		if err := s.GetLog(19, &got); !errors.Is(err, raft.ErrLogNotFound) {
			t.Errorf("GetLog of a deleted entry = %v", err)
		}
		if err := s.StoreLogs(entries(291, 292, 1)); err == nil {
			t.Error("a gap was accepted")
		}
		if err := s.DeleteRange(1, 1000); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStableStore(t *testing.T) {
	s := newStore(t)
	if _, err := s.GetUint64([]byte("term")); err == nil || err.Error() != "not found" {
		t.Errorf("a missing value gives %v; raft wants the text %q", err, "not found")
	}
	if err := errors.Join(s.SetUint64([]byte("term"), 42), s.Set([]byte("vote"), []byte("c2"))); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if n, err := s.GetUint64([]byte("term")); n != 42 || err != nil {
		t.Errorf("term = %d, %v", n, err)
	}
	if v, err := s.Get([]byte("vote")); string(v) != "c2" || err != nil {
		t.Errorf("vote = %q, %v", v, err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	s := newStore(t)
	_, err := openStore(filepath.Dir(s.path))
	if !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), "another process is using") {
		t.Errorf("opened twice: %v", err)
	}
	if err := Verify(filepath.Dir(s.path)); !errors.Is(err, ErrBusy) {
		t.Errorf("verified while it is open: %v", err)
	}
}

// TestVerify: what a start would refuse is told, and nothing is made.
func TestVerify(t *testing.T) {
	if err := Verify(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no log: %v", err)
	}
	s := newStore(t)
	if err := errors.Join(s.StoreLogs(entries(1, 70, 20)), s.Close()); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(s.path)
	if err := Verify(dir); err != nil {
		t.Errorf("of a whole log: %v", err)
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.path, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Verify(dir); !errors.Is(err, ErrCorrupt) {
		t.Errorf("of half a log: %v", err)
	}
}

// TestFlipsAreNoticed flips bits all over a store that has several levels of
// pages: it is refused with the place and the remedy, or the
// content is as it was. Nothing panics, nothing hangs.
func TestFlipsAreNoticed(t *testing.T) {
	s := newStore(t)
	if err := s.StoreLogs(entries(1, 70, 20)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.SetUint64([]byte("CurrentTerm"), 7), s.Set([]byte("LastVoteCand"), []byte("c2")), s.DeleteRange(1, 10)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(s.path) // before it is closed, with the mark of its journal
	if err != nil {
		t.Fatal(err)
	}
	want, where, err := contents(whole)
	if err != nil || len(want) != 64 {
		t.Fatalf("%d records, want 60 entries, 3 values and the mark; %s: %v", len(want), where, err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	noticed := 0
	for at := range whole {
		if at%pageSize > 128 && at%5 != 0 {
			continue // the heads of pages whole, of the rest a sample
		}
		was := whole[at]
		whole[at] ^= 1 << r.IntN(8)
		got, _, err := contents(whole)
		switch {
		case err != nil:
			noticed++
		case !slices.Equal(got, want):
			t.Fatalf("byte %d: the content changed and nobody noticed", at)
		}
		whole[at] = was
	}
	if least := 60 * (recordHead + 20) / 5; noticed < least {
		t.Errorf("%d of %d flips noticed, want at least %d, the sample of the records", noticed, len(whole), least)
	}
}

// contents lists the records of a file.
func contents(file []byte) (all []string, where string, err error) {
	check := checkRecords()
	where, err = checkFile(bytes.NewReader(file), int64(len(file)), func(bucket string, k, v []byte) (string, error) {
		all = append(all, bucket+string(k)+string(v))
		return check(bucket, k, v)
	})
	return all, where, err
}

func TestDamagedStoreIsRefused(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"empty":        func([]byte) []byte { return nil },
		"half":         func(b []byte) []byte { return b[:len(b)/2] },
		"one byte":     func(b []byte) []byte { return b[:1] },
		"last page":    func(b []byte) []byte { return b[:len(b)-pageSize] },
		"zeroed":       func(b []byte) []byte { clear(b); return b },
		"zeroed metas": func(b []byte) []byte { clear(b[:2*pageSize]); return b },
		"zeroed tail":  func(b []byte) []byte { clear(b[2*pageSize:]); return b },
		"a text":       func([]byte) []byte { return []byte(strings.Repeat("hello, world\n", 4000)) },
		"data byte": func(b []byte) []byte {
			b[strings.Index(string(b), "7777777777")]++
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			if err := s.StoreLogs(entries(1, 500, 60)); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			whole, err := os.ReadFile(s.path)
			if err != nil {
				t.Fatal(err)
			}
			// Cut what bbolt allocated ahead, so that the cuts cut something.
			used := int(binary.LittleEndian.Uint64(whole[16+40:]))
			if other := int(binary.LittleEndian.Uint64(whole[pageSize+16+40:])); other > used {
				used = other
			}
			if err := os.WriteFile(s.path, damage(whole[:used*pageSize]), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = openStore(filepath.Dir(s.path))
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("opened: %v, want ErrCorrupt", err)
			}
			if !strings.Contains(err.Error(), s.path) || !strings.Contains(err.Error(), Repair) {
				t.Errorf("%q names neither the file nor the remedy", err)
			}
		})
	}
}

func FuzzCheckFile(f *testing.F) {
	dir := f.TempDir()
	s, err := openStore(dir)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(s.StoreLogs(entries(1, 3, 10)), s.Close()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(s.path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:min(len(whole), 8*pageSize)], uint32(4*pageSize), []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte, at uint32, patch []byte) {
		if len(b) > 0 {
			copy(b[int(at)%len(b):], patch)
		}
		// Neither panics nor hangs; what it says is for the tests above.
		_, _, _ = contents(b)
	})
}

func reopen(t *testing.T, s *store) *store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := openStore(filepath.Dir(s.path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func edges(t testing.TB, s *store) (first, last uint64) {
	t.Helper()
	first, err := s.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	last, err = s.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return first, last
}
