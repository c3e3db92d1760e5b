package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"primespark/shared/run"
	"primespark/shared/worker/frame"
)

// A Process is a worker that runs. Nothing of it outlives its generation, save a
// process that the kernel cannot end.
type Process struct {
	*frame.Client
	PID   int
	Kind  string           // of its Program
	Unit  string           // of systemd's that it runs in; empty: it is a child
	Hello frame.HelloReply // what it said of itself

	last  *lastLines    // of its stderr
	ended chan struct{} // closed once the kernel has let it go
	how   error         // how it ended; of use once ended is closed

	kill  func()         // the signal, and the end of the conversation
	grace time.Duration  // that the kernel gets to end it
	work  sync.WaitGroup // the goroutines of it, save the one that waits for the kernel
}

// launch starts a worker. What it inherits is the socket, as descriptor 3, and
// an environment of ours.
func launch(program Program, dir string) (*Process, error) {
	conn, theirs, err := frame.Pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pipe: %w", err), conn.Close())
	}
	defer write.Close()
	cmd := exec.Command(program.Argv[0], program.Argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr, cmd.ExtraFiles = dir, program.Env, write, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	p := newProcess(conn, program.Kind)
	if err := p.start(cmd); err != nil {
		return nil, errors.Join(fmt.Errorf("start the worker: %w", err), read.Close(), conn.Close())
	}
	stop := p.converse(read)
	p.kill = func() {
		select {
		case <-p.ended: // its number may be another's by now
		default:
			// With all that it started, which may hold the chip, too; it may be gone already.
			_ = syscall.Kill(-p.PID, syscall.SIGKILL)
		}
		stop()
	}
	return p, nil
}

func newProcess(conn *frame.Conn, kind string) *Process {
	return &Process{Client: frame.NewClient(conn), Kind: kind, last: &lastLines{}, ended: make(chan struct{}), grace: grace}
}

// converse listens to the worker, and to what it has to tell people, until stop is called
// or it ends.
func (p *Process) converse(read *os.File) (stop func()) {
	talk, stop := context.WithCancel(context.Background())
	p.work.Go(func() { _ = p.Run(talk) }) // those who wait get its error
	p.work.Go(func() {
		p.last.readFrom(read)
		_ = read.Close() // nothing was written to it
	})
	p.work.Go(func() {
		<-p.ended
		_ = read.SetReadDeadline(time.Now().Add(time.Second)) // somebody may have inherited the other end
	})
	return stop
}

// start starts cmd on a thread of its own, which stays until the process ends:
// the signal that a child gets at its parent's death comes at the death of the
// thread that started it (prctl(2), PR_SET_PDEATHSIG), and Go ends idle threads.
func (p *Process) start(cmd *exec.Cmd) error {
	started := make(chan error)
	go func() { // ends with the process; who needs to know waits for ended
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := run.Punctual() // an engine has its own timers, which are not at rest
		if err == nil {
			err = cmd.Start()
		}
		if err == nil {
			p.PID = cmd.Process.Pid
		}
		started <- err
		if err != nil {
			return
		}
		p.how = cmd.Wait()
		close(p.ended)
	}()
	return <-started
}

// grace is how long the kernel gets to end a killed process. One that takes
// longer hangs in a driver ("D state").
const grace = 10 * time.Second

// ErrWedged means that not even SIGKILL ended the worker.
var ErrWedged = errors.New("the worker cannot be ended: it hangs in the driver")

// close ends the worker: in good order for as long as ctx lasts, by force then.
// It returns ErrWedged if that does not do either within grace.
func (p *Process) close(ctx context.Context) error {
	if ctx.Err() == nil && p.Ask(ctx, frame.Bye, nil) == nil {
		select {
		case <-p.ended:
		case <-ctx.Done():
		}
	}
	p.kill()
	late := time.NewTimer(p.grace)
	defer late.Stop()
	select {
	case <-p.ended:
		return nil
	case <-late.C:
		return ErrWedged
	}
}

// words is how the worker has ended, for people.
func (p *Process) words() string {
	if exit, ok := errors.AsType[*exec.ExitError](p.how); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return fmt.Sprintf("the worker was ended by signal %d (%v)", int(status.Signal()), status.Signal())
		}
		return fmt.Sprintf("the worker ended with code %d", exit.ExitCode())
	}
	if p.Unit != "" {
		return fmt.Sprintf("the worker ended; journalctl -u '%s@*' tells how", p.Unit) // systemd is its parent
	}
	return "the worker ended"
}

// lastLines keeps the last lines of what a worker says: there the library tells
// precisely what its numbers do not.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

// Bounds of what is kept.
const (
	keptLines = 40
	lineBytes = 512
)

func (l *lastLines) readFrom(r io.Reader) {
	b := bufio.NewReaderSize(r, lineBytes)
	for {
		line, _, err := b.ReadLine() // a longer one comes in pieces
		if err != nil {
			return
		}
		text := strings.Map(printable, string(line))
		if strings.TrimSpace(text) == "" {
			continue
		}
		l.mu.Lock()
		if len(l.lines) == keptLines {
			l.lines = append(l.lines[:0], l.lines[1:]...)
		}
		l.lines = append(l.lines, text)
		l.mu.Unlock()
	}
}

func printable(r rune) rune {
	if r < 0x20 || r == 0x7f || r == 0xfffd {
		return ' '
	}
	return r
}

// all returns the lines, the oldest first.
func (l *lastLines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// LastError is the last line in which the library speaks of an error, as in
// "[HailoRT] [error] ...", without what stands before that; empty if none does. P
// may be nil.
func (p *Process) LastError() string {
	if p == nil {
		return ""
	}
	all := p.last.all()
	for i := len(all) - 1; i >= 0; i-- {
		for _, mark := range []string{"[error]", "[critical]"} {
			if _, text, ok := strings.Cut(all[i], mark); ok {
				return strings.TrimSpace(text)
			}
		}
	}
	return ""
}
