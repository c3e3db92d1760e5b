package history_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/history"
	"primespark/shared/telemetry"
)

// A block of the log is damaged while the store runs: its rows are left out and told of
// once, and those before and after it are put in order and read.
func TestADamagedBlockHoldsNothingUp(t *testing.T) {
	for name, ruin := range map[string]int{"in the middle": 1, "the newest": 2} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := open(t, dir)
			for i, unit := range []string{"first", "second", "third"} {
				all := samples("cpu", uint64(10*i+1), uint64(10*i+10))
				for j := range all {
					all[j].Value = telemetry.Number(1, unit)
				}
				l.append("pi-1", all)
			}
			flip(t, filepath.Join(dir, "history.db"), []string{"first", "second", "third"}[ruin])
			want := map[int]uint64{1: 30, 2: 20}[ruin]
			var seen uint64
			for n, total := uint64(0), 0; ; {
				rows, err := l.After(n, 1000)
				if err != nil {
					t.Fatal(err)
				}
				if len(rows) == 0 {
					if seen != want || total != 20 {
						t.Errorf("%d rows up to %d, want 20 up to %d", total, seen, want)
					}
					break
				}
				for i, r := range rows {
					if r.N != rows[0].N+uint64(i) {
						t.Errorf("row %d is number %d of a page from %d on", i, r.N, rows[0].N)
					}
				}
				total += len(rows)
				n = rows[len(rows)-1].N
				seen = n
			}
			l.append("pi-1", samples("cpu", 31, 40))
			l.Order()
			l.Order()
			q := history.Query{Node: "pi-1", From: start, To: time.Now(), Limit: 100}
			if rows, _, err := l.Rows(t.Context(), q); err != nil || len(rows) != 30 {
				t.Errorf("%d rows, want the 30 that are whole; %v", len(rows), err)
			}
			if sealed := l.Sealed(); sealed != 40 {
				t.Errorf("put in order up to %d, want 40", sealed)
			}
			l.stop()
			if got := strings.Count(l.log.String(), "damaged and left out"); got != 1 {
				t.Errorf("told of %d times, want once:\n%s", got, &l.log)
			}
		})
	}
}

// flip changes one byte in each place where the file says word.
func flip(t *testing.T, path, word string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	flips := 0
	for at := 0; ; flips++ {
		i := bytes.Index(whole[at:], []byte(word))
		if i < 0 {
			break
		}
		at += i + 1
		if _, err := f.WriteAt([]byte{'X'}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	if flips == 0 {
		t.Fatalf("%s is not in the file", word)
	}
}
