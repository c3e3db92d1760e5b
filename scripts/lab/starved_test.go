package lab_test

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestStarved: everything else on the machine wants the processors, too. Nobody is
// taken for dead who is not, with the precedence that the units give (notes on the
// mesh, T11).
func TestStarved(t *testing.T) {
	if err := starved(begin(t, 5*time.Minute), either(8*time.Second, time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func starved(ctx context.Context, long time.Duration) (err error) {
	l, err := found(ctx, plan{agents: 3, under: []string{"nice", "-n", "-5"}})
	if err != nil {
		return err
	}
	defer l.done(&err)
	client := l.Client(l.Coordinators...)
	before, err := client.Events(ctx, "", 0)
	if err != nil {
		return err
	}
	after := ""
	if len(before) > 0 {
		after = before[len(before)-1].ID
	}
	sated, err := burn(4 * runtime.NumCPU())
	if err != nil {
		return errors.Join(err, sated())
	}
	time.Sleep(long)
	if err := sated(); err != nil {
		return err
	}
	happened, err := client.Events(ctx, after, 0)
	if err != nil {
		return err
	}
	for _, e := range happened {
		if e.Code == "node.dead" {
			return broken("a node that was starved is taken for dead: %s %s", e.Node, e.Detail)
		}
	}
	return l.agree(ctx, time.Minute)
}

// burn has processes take all the time that they are given, until the function that it
// returns is called, in any case.
func burn(n int) (sated func() error, err error) {
	var all []*exec.Cmd
	sated = func() (err error) {
		for _, cmd := range all {
			err = errors.Join(err, cmd.Process.Kill())
			_ = cmd.Wait() // its error is that it was killed
		}
		return err
	}
	for range n {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // of a thread that Go does not end
		if err := cmd.Start(); err != nil {
			return sated, err
		}
		all = append(all, cmd)
	}
	return sated, nil
}
