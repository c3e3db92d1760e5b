package lab_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/wire"
)

// TestReplace: an operator takes a coordinator away and puts a fresh one in the place
// of another, by the words of his command, while clients write. Nothing is lost, and
// the one that is replaced knows that it is.
func TestReplace(t *testing.T) {
	if err := replace(begin(t, 5*time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func replace(ctx context.Context) (err error) {
	l, err := found(ctx, plan{})
	if err != nil {
		return err
	}
	defer l.done(&err)
	o, err := l.operator()
	if err != nil {
		return err
	}
	d, err := beginLoad(ctx, l, 4, 2, 20*time.Millisecond)
	if err != nil {
		return err
	}
	defer d.end()
	all := slices.Clone(l.Coordinators)
	defer func() { l.Coordinators = all }() // who is closed
	kept, old, fresh := all[0], all[1], all[2]

	// The third one goes, and is a bare machine afterwards.
	if out, err := o.command(ctx, "coordinators", "remove", fresh.Name).CombinedOutput(); err != nil {
		return broken("remove %s: %v: %s", fresh.Name, err, out)
	}
	fresh.Stop()
	if err := bare(fresh.StateDir()); err != nil {
		return err
	}
	// It comes back under its old name, in the place of the second one.
	if err := o.replace(ctx, old, fresh); err != nil {
		return err
	}
	if err := promised(ctx, 30*time.Second, "the replaced one to know", func(ctx context.Context) error {
		r, err := l.Client(old).Ready(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(r.Reasons, func(r wire.Reason) bool { return r.Code == "removed" }) {
			return fmt.Errorf("it says %+v", r.Reasons)
		}
		return nil
	}); err != nil {
		return err
	}
	old.Stop()
	if err := within(ctx, 10*time.Second, "further writes", func(context.Context) error { return more(d, 20) }); err != nil {
		return err
	}
	d.rest()
	l.Coordinators = []*rig.Node{kept, fresh}
	return d.conclude(ctx, l)
}

// bare empties a directory.
func bare(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if err == nil {
			err = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	return err
}

// An operator is one with the command, at a host of his own.
type operator struct {
	line  []string // the command, with where and who
	token string
}

// operator builds the command, once.
func (l *lab) operator() (*operator, error) {
	run, err := theRun()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(run.Dir, "bin")
	if err := compile("", dir, "./coordinator/cmd/prime-spark"); err != nil {
		return nil, err
	}
	host, err := l.net.Host()
	if err != nil {
		return nil, err
	}
	token, ca := l.Access()
	authority := filepath.Join(l.Dir, "operator-ca.crt")
	if err := os.WriteFile(authority, ca, 0o600); err != nil {
		return nil, err
	}
	line := host.Under(filepath.Join(dir, "prime-spark"), "--ca-file", authority, "--token-file", "-")
	for _, n := range l.Coordinators {
		line = append(line, "--server", "https://"+n.API)
	}
	return &operator{line, token}, nil
}

func (o *operator) command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(slices.Clone(o.line), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Stdin = strings.NewReader(o.token + "\n")
	cmd.WaitDelay = time.Second
	return cmd
}

// code is the line that an operator would paste.
var code = regexp.MustCompile(`^  (\S{40,})$`)

// replace runs the command as somebody would who reads it, and has the fresh one join.
func (o *operator) replace(ctx context.Context, old, fresh *rig.Node) error {
	cmd := o.command(ctx, "coordinators", "replace", old.Name, "--wait", "2m")
	out, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	var said, printed bytes.Buffer
	cmd.Stdout = &printed
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(io.TeeReader(out, &said))
	joined := false
	for lines.Scan() {
		if m := code.FindStringSubmatch(lines.Text()); m != nil && !joined {
			joined = true
			if _, err := fresh.Command(ctx, m[1]+"\n", "join", "--code-file", "-"); err != nil {
				return broken("join with the code of the command: %v", err)
			}
			if err := fresh.Start(); err != nil {
				return err
			}
		}
	}
	if err := cmd.Wait(); err != nil || !joined {
		return broken("replace %s: %v: %s%s", old.Name, err, said.String(), printed.String())
	}
	for _, want := range []string{"1 of 3", "3 of 3: " + fresh.Name, fresh.Name + " is in the place of " + old.Name} {
		if !strings.Contains(said.String()+printed.String(), want) {
			return broken("the command does not say %q: %s%s", want, said.String(), printed.String())
		}
	}
	return nil
}
