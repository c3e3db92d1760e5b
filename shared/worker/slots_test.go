package worker

import (
	"sync"
	"sync/atomic"
	"testing"
)

func TestSlotsGiveTheWarmestFirst(t *testing.T) {
	s := newSlots(3)
	take := func(want int) {
		t.Helper()
		<-s.free
		if got := s.take(); got != want {
			t.Errorf("got slot %d, want %d", got, want)
		}
	}
	take(0)
	take(1)
	s.give(0)
	take(0)
	take(2)
	if s.taken() != 3 {
		t.Errorf("%d taken, want 3", s.taken())
	}
	s.give(1)
	s.give(2)
	take(2)
	take(1)
}

// No slot has two users.
func TestSlotsAreOnesOwn(t *testing.T) {
	const n = 4
	s := newSlots(n)
	var users [n]atomic.Int32
	var all sync.WaitGroup
	for range 2 * n {
		all.Go(func() {
			for range 1000 {
				<-s.free
				slot := s.take()
				if users[slot].Add(1) != 1 {
					t.Errorf("slot %d has two users", slot)
				}
				users[slot].Add(-1)
				s.give(slot)
			}
		})
	}
	all.Wait()
	if s.taken() != 0 {
		t.Errorf("%d taken in the end", s.taken())
	}
}
