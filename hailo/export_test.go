package hailo

import "time"

// Wedge has nothing end the worker that runs now but release: as a driver does
// that hangs.
func Wedge(s *Supervisor) (release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.gen.proc
	release = p.kill
	p.kill, p.grace = func() {}, 10*time.Millisecond
	return release
}

// Watch looks at the host now, as is done every few seconds.
func Watch(s *Supervisor) {
	g, _, _ := s.now()
	s.watched(g)
}

// Hurry takes the pauses between two tries away. It goes before
// the first model is added.
func Hurry(s *Supervisor) { s.pause = func(time.Duration) time.Duration { return 0 } }
