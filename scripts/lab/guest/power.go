package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// A power is the switch of a machine: the process that runs it.
type power struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start switches on; what the process prints goes to a file.
func (p *power) start(name string, args []string, printed string, env ...string) error {
	out, err := os.Create(printed)
	if err != nil {
		return err
	}
	defer out.Close()
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(os.Environ(), env...)
	// Its processes share one group, which the switch acts on. It dies with us.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("switch %s on: %w", name, err)
	}
	p.ended = make(chan struct{})
	go func() { // ends with the machine
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is of no use: it is killed, or powers itself off
	}()
	return nil
}

func (p *power) signal(s syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, s) }

// kill stops it at once.
func (p *power) kill(name string) error {
	if err := p.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("cut the power of %s: %w", name, err)
	}
	<-p.ended
	return nil
}

// cut stops it if it runs.
func (p *power) cut() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.signal(syscall.SIGKILL) // it may be off already
		<-p.ended
	}
}

// off waits until it has switched itself off.
func (p *power) off(ctx context.Context, name string) error {
	select {
	case <-p.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s is still on: %w", name, context.Cause(ctx))
	}
}
