package worker

import "sync"

// Slots are the parts of an arena that nobody uses. The one given back last is
// taken first, for its memory is still in the processor's cache, and copying a
// picture into it is most of what the agent adds to an inference.
type slots struct {
	free chan struct{} // as many as there are slots to take

	mu   sync.Mutex
	last []int // the one given back last at the end
}

func newSlots(n int) *slots {
	s := &slots{free: make(chan struct{}, n)}
	for i := range n {
		s.give(n - 1 - i)
	}
	return s
}

// take returns a slot to whoever has received from free.
func (s *slots) take() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot := s.last[len(s.last)-1]
	s.last = s.last[:len(s.last)-1]
	return slot
}

func (s *slots) give(slot int) {
	s.mu.Lock()
	s.last = append(s.last, slot)
	s.mu.Unlock()
	s.free <- struct{}{}
}

// taken is how many are in use.
func (s *slots) taken() int { return cap(s.free) - len(s.free) }
