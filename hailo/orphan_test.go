package hailo_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"primespark/hailo"
)

// asParent is the test program as an agent, for TestOrphan.
const asParent = "-as-parent="

// parent starts a worker, by a script of that path, and keeps its threads coming
// and going until it is killed.
func parent(script string) {
	s := hailo.New(hailo.Config{
		Library: "/nonexistent/double.so", Dir: filepath.Dir(script), Workers: []hailo.Worker{{Kind: "c", Argv: []string{script}}},
	})
	go func() {
		for { // each ends a thread: a goroutine that ends locked takes it along
			done := make(chan struct{})
			go func() {
				defer close(done)
				runtime.LockOSThread()
			}()
			<-done
			time.Sleep(time.Millisecond)
		}
	}()
	if err := s.Run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// TestOrphan kills an agent whose worker listens to nobody: the kernel ends it, and
// not before the agent dies, whatever threads end meanwhile.
func TestOrphan(t *testing.T) {
	dir := t.TempDir()
	script, note := filepath.Join(dir, "worker"), filepath.Join(dir, "pid")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho $$ > "+note+".new && mv "+note+".new "+note+"\nexec sleep 100\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(exe, asParent+script)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = agent.Wait() }() // it was killed, which Wait says
	defer func() { _ = agent.Process.Kill() }()
	pid := 0
	wait(t, "a worker", func() bool {
		text, err := os.ReadFile(note)
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	time.Sleep(100 * time.Millisecond) // a hundred threads end
	if err := syscall.Kill(pid, 0); err != nil {
		t.Fatalf("the worker died before the agent: %v", err)
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the worker's end", func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return errors.Is(err, os.ErrNotExist) || strings.Contains(string(text), ") Z ") // nobody may have collected it
	})
}

// TestThread holds that the goroutine which started the worker, and waits for it,
// keeps its thread: TestOrphan can only show that nothing went wrong this time.
func TestThread(t *testing.T) {
	r := newRig(t, "", nil)
	r.state(t, hailo.StateReady)
	text := make([]byte, 1<<20)
	text = text[:runtime.Stack(text, true)]
	for goroutine := range strings.SplitSeq(string(text), "\n\n") {
		if strings.Contains(goroutine, "worker.(*Process).start.") {
			first, _, _ := strings.Cut(goroutine, "\n")
			if !strings.Contains(first, "locked to thread") {
				t.Errorf("the worker dies with any thread of %s", first)
			}
			return
		}
	}
	t.Errorf("nobody waits for the worker:\n%s", text)
}

// wait looks until ok.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("no %s within 4 s", what)
}
