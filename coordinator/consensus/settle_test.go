package consensus

import (
	"errors"
	"testing"

	"go.etcd.io/bbolt"
)

// What a snapshot makes superfluous is dropped in pieces that others store between,
// and a disk that fails half-way leaves a log that is whole.
func TestDroppedInPieces(t *testing.T) {
	for name, test := range map[string]struct {
		size        int    // of an entry's data
		last        uint64 // to be dropped, of 1500
		pieces      int
		first, next uint64 // after that, and after the disk failed in the second piece
	}{
		"small entries":        {20, 1300, 3, 1301, 513},
		"large entries":        {10_000, 300, 3, 301, 106},
		"all, at once":         {20, 1500, 1, 0, 0},
		"few":                  {20, 10, 1, 11, 11},
		"as many as one piece": {20, 512, 1, 513, 513},
	} {
		t.Run(name, func(t *testing.T) {
			const last = 1500
			for _, fails := range []bool{false, true} {
				s := newStore(t)
				if err := s.StoreLogs(entries(1, last, test.size)); err != nil {
					t.Fatal(err)
				}
				commit, count := s.commit, 0
				s.commit = func(f func(*bbolt.Tx) error) error {
					count++
					if fails && count == 2 {
						return errors.New("input/output error")
					}
					return commit(f)
				}
				err := s.DeleteRange(1, test.last)
				want := test.first
				if fails && test.pieces > 1 {
					want = test.next
					if err == nil {
						t.Error("the failure is not told")
					}
				} else if err != nil || count != test.pieces {
					t.Errorf("%d pieces, %v; want %d", count, err, test.pieces)
				}
				s.commit = commit
				s = reopen(t, s) // which checks all of it
				if first, _ := edges(t, s); first != want {
					t.Errorf("the log begins at %d, want %d (fails: %v)", first, want, fails)
				}
			}
		})
	}
}
