package rig

import (
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

func init() { runtime.LockOSThread() } // the tests' main function, on the first thread

// fromFirst is the thread that OnThread took when it was called on the first one.
var fromFirst int

func TestMain(m *testing.M) {
	OnThread(func() { fromFirst = syscall.Gettid() })
	os.Exit(m.Run())
}

func TestOnThreadLeavesTheFirst(t *testing.T) {
	if fromFirst == 0 || fromFirst == os.Getpid() {
		t.Errorf("called on thread %d, it ran on %d, which never ends", os.Getpid(), fromFirst)
	}
}

// What a spawner started ends when it closes.
func TestSpawnerTakesAllAlong(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	s := newSpawner()
	if err := s.start(cmd); err != nil {
		t.Fatal(err)
	}
	s.close()
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("%v, want it killed", err)
	}
}
