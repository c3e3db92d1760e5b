package hailo

// Wedge has nothing end the worker that runs now but release: as a driver does
// that hangs.
func Wedge(s *Supervisor) (release func()) { return s.Wedge() }

// Watch looks at the host now, as is done every few seconds.
func Watch(s *Supervisor) { s.engine.watched() }

// Hurry takes the pauses between two tries away. It goes before the first model
// is added.
func Hurry(s *Supervisor) { s.Supervisor.Hurry() }
