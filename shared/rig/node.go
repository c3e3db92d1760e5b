package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// The programs of a fleet.
const (
	coordinatorProgram = "prime-spark-coordinator"
	agentProgram       = "prime-spark-agent"
	commandProgram     = "prime-spark"
)

// A Node is one daemon of the fleet.
type Node struct {
	Name     string
	Role     fleet.Role
	Host     string // that it has to itself; empty on loopback
	API      string // host:port of its HTTPS
	Loopback string // host:port of its plain HTTP; empty with a host of its own

	rig     *Rig
	state   string   // path
	under   []string // what the daemon is run by
	mesh    string   // socket of its prime-spark-mesh
	config  string   // path
	log     string   // path
	ports   []port   // held until the daemon takes them
	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	meant   bool          // its end was asked for
}

// StateDir is where the daemon keeps its identity and the rest.
func (n *Node) StateDir() string { return n.state }

// Log is the path of what the daemon writes to stderr.
func (n *Node) Log() string { return n.log }

func (n *Node) program() string {
	if n.Role == fleet.Coordinator {
		return filepath.Join(n.rig.bin, coordinatorProgram)
	}
	return filepath.Join(n.rig.bin, agentProgram)
}

// Start runs the daemon, the first time or again.
func (n *Node) Start() error {
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", n.Name, err)
	}
	defer log.Close() // the daemon has its own copy
	line := slices.Concat(n.under, []string{n.program(), "run", "--config", n.config})
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	n.release()
	if err := n.rig.spawner.start(cmd); err != nil {
		return fmt.Errorf("start %s: %w", n.Name, err)
	}
	ended := make(chan struct{})
	n.mu.Lock()
	n.process, n.ended, n.meant = cmd, ended, false
	n.mu.Unlock()
	go func() { // gone waits for it
		err := cmd.Wait()
		n.mu.Lock()
		meant := n.meant
		n.mu.Unlock()
		if !meant {
			select {
			case n.rig.broken <- n.fell(err):
			default: // another one fell before, and is reported
			}
		}
		close(ended)
	}()
	return nil
}

// fell words the end of a daemon that should have gone on.
func (n *Node) fell(err error) error {
	how := "exit status 0"
	if err != nil {
		how = err.Error()
	}
	return &problem.Error{
		Code:   problem.Unexpected,
		Detail: fmt.Sprintf("%s ended by itself (%s). Its last words:\n%s", n.Name, how, n.lastWords()),
		Remedy: "If a port is taken, run the demo again: it takes other ones.",
	}
}

// lastWords returns the end of the daemon's log.
func (n *Node) lastWords() string {
	const most = 8
	raw, err := os.ReadFile(n.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Kill ends the daemon by SIGKILL, as a power cut would, and waits until it is gone.
// It returns the moment at which the signal was sent.
func (n *Node) Kill() time.Time {
	at := n.signal(syscall.SIGKILL)
	n.gone(nil)
	return at
}

// Stop ends the daemon by SIGTERM, as a service manager would, and waits until it
// is gone, three seconds at most: then it is killed.
func (n *Node) Stop() {
	n.terminate()
	n.gone(time.After(grace))
}

// grace is how long a daemon may take to end.
const grace = 3 * time.Second

// Pause holds the daemon as it is (SIGSTOP) until Resume.
func (n *Node) Pause() { n.send(syscall.SIGSTOP) }

// Resume lets a daemon go on that was paused; for another it does nothing.
func (n *Node) Resume() { n.send(syscall.SIGCONT) }

// MayEnd says that the daemon may end by itself from now on, until it is started
// again: what is done to it gives it reason to.
func (n *Node) MayEnd() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.meant = true
}

// Ended is closed when the daemon that was started last is gone.
func (n *Node) Ended() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ended
}

// ExitCode is that of the daemon that ended last; -1 if it was killed. It is for
// after Ended.
func (n *Node) ExitCode() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process.ProcessState.ExitCode()
}

func (n *Node) terminate() { n.signal(syscall.SIGTERM) }

// signal sends a signal that is to end the daemon.
func (n *Node) signal(s syscall.Signal) time.Time {
	n.MayEnd()
	return n.send(s)
}

func (n *Node) send(s syscall.Signal) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Now()
	if n.process != nil {
		// One that is gone already needs no signal.
		_ = n.process.Process.Signal(s)
	}
	return at
}

// gone waits until the daemon has ended, and kills it when patience has.
func (n *Node) gone(patience <-chan time.Time) {
	n.release()
	n.mu.Lock()
	ended := n.ended
	n.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-patience:
		n.signal(syscall.SIGKILL)
		<-ended
	}
}

// PID is the process of the daemon, or 0.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.Process.Pid
}

// init makes the cluster on its first coordinator.
func (r *Rig) init(ctx context.Context, n *Node) error {
	out, err := n.Command(ctx, "", "init", "--cluster", Cluster, "--json")
	if err != nil {
		return err
	}
	var made struct {
		Token  string `json:"token"`
		CAFile string `json:"ca_file"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return fmt.Errorf("read what %s init printed: %w", coordinatorProgram, err)
	}
	if r.ca, err = os.ReadFile(made.CAFile); err != nil {
		return fmt.Errorf("read the cluster's authority: %w", err)
	}
	r.token = made.Token
	return nil
}

// Command runs one of the daemon's other commands to its end and returns its
// output. A secret goes by stdin. The error of one that did not work holds its
// *exec.ExitError.
func (n *Node) Command(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	line := slices.Concat(n.under, []string{n.program()}, args, []string{"--config", n.config})
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := n.rig.spawner.start(cmd); err != nil {
		return nil, fmt.Errorf("run %s: %w", n.program(), err)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &problem.Error{
			Code: problem.Unexpected, Err: err,
			Detail: fmt.Sprintf("%s %s did not work: %s", filepath.Base(n.program()), args[0], strings.TrimSpace(stderr.String())),
		}
	}
	return stdout.Bytes(), nil
}
