package lab_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/task"
)

// TestDamage: one byte of a log, of the journal before it, or of a snapshot, is not as
// it was written. The coordinator refuses to run on it, says which command helps, and that one does.
func TestDamage(t *testing.T) {
	if err := damage(begin(t, 5*time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func damage(ctx context.Context) (err error) {
	l, err := found(ctx, plan{})
	if err != nil {
		return err
	}
	defer l.done(&err)
	made, err := l.Client(l.Coordinators...).SubmitTask(ctx, task.Spec{Kind: task.Noop}, "")
	if err != nil {
		return err
	}
	leader, err := l.leader(ctx)
	if err != nil {
		return err
	}
	// The task's id lies in the log entry that made it.
	one := l.follower(leader)
	one.Stop()
	file := filepath.Join(one.StateDir(), "raft", "raft.db")
	if raw, err := os.ReadFile(file); err != nil {
		return err
	} else if !bytes.Contains(raw, []byte(made.ID)) {
		file = journalOf(one) // the machine was so busy that it had to be killed
	}
	if err := l.damaged(ctx, one, file, []byte(made.ID)); err != nil {
		return fmt.Errorf("a byte of the log: %w", err)
	}
	// One that is killed leaves it in the journal, and this one is what it wrote last
	// or close to that.
	last, err := l.Client(l.Coordinators...).SubmitTask(ctx, task.Spec{Kind: task.Noop}, "")
	if err != nil {
		return err
	}
	if leader, err = l.leader(ctx); err != nil {
		return err
	}
	if err := l.agree(ctx, time.Minute); err != nil {
		return err
	}
	one = l.follower(leader)
	one.MayEnd()
	one.Kill()
	if err := l.damaged(ctx, one, journalOf(one), []byte(last.ID)); err != nil {
		return fmt.Errorf("a byte of the journal: %w", err)
	}
	return l.snapshots(ctx, made.ID)
}

func journalOf(n *rig.Node) string { return filepath.Join(n.StateDir(), "raft", "raft.journal") }

// damaged flips a byte of a stopped coordinator's file, and sees the coordinator
// refuse, be reset and come back.
func (l *lab) damaged(ctx context.Context, n *rig.Node, file string, at []byte) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	where := bytes.LastIndex(raw, at)
	if where < 0 {
		return fmt.Errorf("%s does not hold %q", file, at)
	}
	raw[where] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return err
	}
	n.MayEnd()
	select {
	case <-n.Ended():
	case <-time.After(10 * time.Second):
		return broken("%s runs on a damaged file", n.Name)
	}
	log, err := os.ReadFile(n.Log())
	if err != nil {
		return err
	}
	if code := n.ExitCode(); code != 5 {
		return broken("%s ended with exit code %d, want 5", n.Name, code)
	}
	if !strings.Contains(string(log), "prime-spark-coordinator reset --rejoin") {
		return broken("%s does not say which command helps", n.Name)
	}
	if err := l.reset(ctx, n); err != nil {
		return err
	}
	return l.agree(ctx, time.Minute)
}

// reset puts a coordinator's files aside and starts it.
func (l *lab) reset(ctx context.Context, n *rig.Node) error {
	if _, err := n.Command(ctx, "", "reset", "--rejoin"); err != nil {
		return err
	}
	return n.Start()
}

// snapshots makes the group one that stands on snapshots, by the repair of a group
// that has lost all but one of its coordinators, and damages one of these.
func (l *lab) snapshots(ctx context.Context, id string) error {
	survivor, rest := l.Coordinators[0], l.Coordinators[1:]
	for _, n := range l.Coordinators {
		n.Stop()
	}
	if _, err := survivor.Command(ctx, "", "recover", "--from-one"); err != nil {
		return err
	}
	if err := survivor.Start(); err != nil {
		return err
	}
	for _, n := range rest {
		if err := l.reset(ctx, n); err != nil {
			return err
		}
	}
	if err := l.agree(ctx, time.Minute); err != nil {
		return fmt.Errorf("recovered from one: %w", err)
	}
	if _, err := l.Client(rest...).Task(ctx, id, 0); err != nil {
		return broken("recovered from one: the task %s: %v", id, err)
	}
	files, err := filepath.Glob(filepath.Join(rest[0].StateDir(), "raft", "snapshots", "*", "state.bin"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%s has the snapshots %q (%w), want one", rest[0].Name, files, err)
	}
	rest[0].Stop()
	if err := l.damaged(ctx, rest[0], files[0], []byte(id)); err != nil {
		return fmt.Errorf("a byte of the only snapshot: %w", err)
	}
	return nil
}
