package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// The daemons' programs.
const (
	coordinatorProgram = "prime-spark-coordinator"
	agentProgram       = "prime-spark-agent"
)

// A Node is one daemon of the fleet.
type Node struct {
	Name     string
	Role     fleet.Role
	API      string // host:port of its HTTPS
	Loopback string // host:port of its plain HTTP

	rig     *Rig
	config  string // path
	log     string // path
	ports   []port // held until the daemon takes them
	mu      sync.Mutex
	process *exec.Cmd
	ended   chan struct{} // closed when the process is gone
	meant   bool          // its end was asked for
}

// StateDir is where the daemon keeps its identity and the rest.
func (n *Node) StateDir() string { return filepath.Join(n.rig.Dir, n.Name) }

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
	cmd := exec.Command(n.program(), "run", "--config", n.config)
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

func (n *Node) terminate() { n.signal(syscall.SIGTERM) }

func (n *Node) signal(s syscall.Signal) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	at := time.Now()
	if n.process != nil {
		n.meant = true
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
	out, err := r.command(ctx, n, "", "init", "--cluster", Cluster, "--json")
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

// command runs one of the daemon's other commands to its end and returns its
// output. A secret goes by stdin.
func (r *Rig) command(ctx context.Context, n *Node, stdin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, n.program(), append(args, "--config", n.config)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	cmd.WaitDelay = time.Second
	if err := r.spawner.start(cmd); err != nil {
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
