package consensus

import (
	"context"
	"sync"
)

// A sharing has many who ask at the same time answered by few rounds of one
// question. Who asks while a round is under way gets the answer of the next one,
// which begins after that: an answer is never of before the question. The zero
// value is ready.
type sharing struct {
	mu    sync.Mutex
	under bool   // a round is under way
	next  *round // nil while nobody waits for another one
}

// A round is one question that several ask.
type round struct {
	done  chan struct{} // closes with the answer
	index uint64
	err   error
}

// ask returns the answer of a round of question that begins after the call, or
// ctx's error. The question has to end by itself.
func (s *sharing) ask(ctx context.Context, question func() (uint64, error)) (uint64, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = &round{done: make(chan struct{})}
	}
	r := s.next
	if !s.under {
		s.under = true
		go s.rounds(question) // ends when nobody waits
	}
	s.mu.Unlock()
	select {
	case <-r.done:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// rounds asks until nobody waits.
func (s *sharing) rounds(question func() (uint64, error)) {
	for {
		s.mu.Lock()
		r := s.next
		s.next = nil
		s.under = r != nil
		s.mu.Unlock()
		if r == nil {
			return
		}
		r.index, r.err = question()
		close(r.done)
	}
}
