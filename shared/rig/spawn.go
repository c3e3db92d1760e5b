package rig

import (
	"os/exec"
	"runtime"
)

// A spawner starts processes that die with this one. The kernel ties a child to
// the thread that started it, not to the process (prctl(2), PR_SET_PDEATHSIG),
// so all are started by one thread that lives as long as the spawner.
type spawner struct {
	work chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	go func() { // close waits for it
		defer close(s.done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range s.work {
			f()
		}
	}()
	return s
}

func (s *spawner) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = tied()
	failed := make(chan error)
	s.work <- func() { failed <- cmd.Start() }
	return <-failed
}

// close ends the thread, and with it whatever it started that still runs.
func (s *spawner) close() {
	close(s.work)
	<-s.done
}
