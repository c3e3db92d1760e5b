package worker

import "time"

// Wedge has nothing end the worker that runs now but release: as a driver does
// that hangs. It is for tests of engines.
func (s *Supervisor) Wedge() (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.gen.proc
	release = p.kill
	p.kill, p.grace = func() {}, 10*time.Millisecond
	return release
}

// Hurry takes the pauses between two tries away, for tests of engines. It goes
// before the first model is added.
func (s *Supervisor) Hurry() { s.pause = func(time.Duration) time.Duration { return 0 } }
