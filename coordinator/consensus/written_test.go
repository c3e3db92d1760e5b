package consensus

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"go.etcd.io/bbolt"
)

// What a snapshot leaves behind decides what a write costs from then on: bbolt
// frees the pages of the entries that are dropped, and writes the list of free
// pages anew with each transaction unless it is told not to.
const (
	burst     = 30_000  // entries before the log is cut down
	longBurst = 200_000 // as of a site that was busy for a day
	entrySize = 512     // bytes of a small one
	goal      = 40_000  // bytes written to the disk for one small entry
)

// afterBurst is a store that has taken many entries and kept the newest, as raft
// leaves it after a snapshot. freelistSync is how other stores on bbolt do it.
func afterBurst(tb testing.TB, burst uint64, freelistSync bool) *store {
	tb.Helper()
	dir := tb.TempDir()
	if err := createStore(dir, filepath.Join(dir, logFile)); err != nil {
		tb.Fatal(err)
	}
	s, err := openStore(dir)
	if freelistSync {
		if err := s.Close(); err != nil {
			tb.Fatal(err)
		}
		var db *bbolt.DB
		db, err = bbolt.Open(s.path, 0o600, &bbolt.Options{PageSize: pageSize, FreelistType: bbolt.FreelistMapType, NoStatistics: true})
		s = &store{db: db, path: s.path, commit: db.Update, journal: journal{create: createJournal}} // without room in a journal
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	s.db.NoSync = true // the burst is not what is measured
	for first := uint64(1); first <= burst; first += 500 {
		if err := s.StoreLogs(entries(first, first+499, entrySize)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := s.DeleteRange(1, burst-trailingLogs); err != nil {
		tb.Fatal(err)
	}
	s.db.NoSync = false
	return s
}

// written is how many bytes this process has handed to write calls so far
// (proc(5), wchar). What is mapped into memory would not count; bbolt writes
// nothing that way.
func written(tb testing.TB) int {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		tb.Skipf("needs the kernel's accounting of input and output: %v", err)
	}
	for line := range bytes.Lines(text) {
		if n, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("wchar: ")); ok {
			sum, err := strconv.Atoi(string(n))
			if err != nil {
				tb.Fatal(err)
			}
			return sum
		}
	}
	tb.Fatal("/proc/self/io has no wchar")
	return 0
}

// TestSmallAppendsWriteLittle holds the store to its bound after a burst, and
// shows that the bound means something: without the journal, and with the list of
// free pages, it is broken.
func TestSmallAppendsWriteLittle(t *testing.T) {
	const appends = 2 * journalSize / blockSize // the journal is emptied and wiped twice
	perAppend := func(s *store, appends int) int {
		before := written(t)
		for i := range uint64(appends) {
			if err := s.StoreLogs(entries(burst+1+i, burst+1+i, entrySize)); err != nil {
				t.Fatal(err)
			}
		}
		return (written(t) - before) / appends
	}
	ours, others := perAppend(afterBurst(t, burst, false), appends), perAppend(afterBurst(t, burst, true), 50)
	t.Logf("bytes written per %d-byte entry: %d, without a journal and with the list of free pages %d", entrySize, ours, others)
	if ours > goal {
		t.Errorf("%d bytes are written for one small entry, want %d at most", ours, goal)
	}
	if others <= goal {
		t.Errorf("with the list of free pages it is %d: the burst is too small to show anything", others)
	}
}

// BenchmarkAppend stores one small entry at a time after a burst.
func BenchmarkAppend(b *testing.B) {
	for _, freelistSync := range []bool{false, true} {
		b.Run(fmt.Sprintf("freelist-sync=%t", freelistSync), func(b *testing.B) {
			s := afterBurst(b, longBurst, freelistSync)
			before, next := written(b), uint64(longBurst)
			for b.Loop() {
				next++
				if err := s.StoreLogs(entries(next, next, entrySize)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(written(b)-before)/float64(next-longBurst), "written-B/op")
		})
	}
}
