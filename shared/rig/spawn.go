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
	go OnThread(func() { // close waits for it
		defer close(s.done)
		for f := range s.work {
			f()
		}
	})
	return s
}

// OnThread runs do on a thread of its own, which ends when do returns; so call it
// on a goroutine that ends then, too. The first thread of a process outlives every
// goroutine, so one that happens to be on it holds it and sends another one.
func OnThread(do func()) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	if !onFirstThread() {
		do()
		return
	}
	defer runtime.UnlockOSThread()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		do()
	}()
	<-done
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
