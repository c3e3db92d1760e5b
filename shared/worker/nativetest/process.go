package nativetest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"primespark/shared/worker/frame"
)

// A Process is a worker that runs.
type Process struct {
	*frame.Client
	Cmd    *exec.Cmd
	Stderr *bytes.Buffer // to be read after Wait

	ended chan struct{}
	err   error // of Cmd.Wait, once ended is closed
}

// Start runs command with the socket of the protocol, and env beside this
// process's own. The worker is ended with the test at the latest.
func Start(t testing.TB, env []string, command ...string) *Process {
	t.Helper()
	conn, theirs, err := frame.Pair()
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Client: frame.NewClient(conn), Stderr: &bytes.Buffer{}, ended: make(chan struct{})}
	p.Cmd = exec.Command(command[0], command[1:]...)
	p.Cmd.Env = append(os.Environ(), env...)
	p.Cmd.Dir = t.TempDir()
	p.Cmd.Stderr = p.Stderr
	p.Cmd.ExtraFiles = []*os.File{theirs}
	// The worker asks to be killed with the thread that began it, and threads of
	// Go end when they like; so one is held for it.
	started := make(chan error)
	go func() { // ended by Wait below
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.Cmd.Start()
		started <- err
		if err == nil {
			p.err = p.Cmd.Wait()
		}
		close(p.ended)
	}()
	err = <-started
	_ = theirs.Close() // the worker has its own
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() { _ = p.Run(ctx) }) // ends with the worker, and whoever asks is told so
	t.Cleanup(func() {
		_ = p.Cmd.Process.Kill() // it may have ended
		<-p.ended
		cancel()
		run.Wait()
		if s := p.Stderr.String(); t.Failed() && s != "" {
			t.Logf("the worker said:\n%s", s)
		}
	})
	return p
}

// Wait waits for the worker's end and returns how it ended.
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}

// File writes content to a file of the test and opens it.
func File(t testing.TB, content []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), strings.ReplaceAll(t.Name(), "/", "-"))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // only read
	return f
}
