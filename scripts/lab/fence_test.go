package lab_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"primespark/shared/problem"
	"primespark/shared/rig"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// TestLateReports: whoever lost a task and reports it nevertheless is refused.
func TestLateReports(t *testing.T) {
	if err := lateReports(begin(t, 2*time.Minute), "", 10); err != nil {
		t.Fatal(err)
	}
}

// lateReports has two nodes report the same task, of which one has given it back.
func lateReports(ctx context.Context, b build, rounds int) (err error) {
	l, err := found(ctx, plan{build: b})
	if err != nil {
		return err
	}
	defer l.done(&err)
	var who [2]*wire.Client
	names := [2]string{"early", "late"}
	for i, name := range names {
		id, err := l.enroll(ctx, name)
		if err != nil {
			return err
		}
		who[i] = l.callers(id)[i]
	}
	lease := func(i int) (wire.Leased, error) {
		got, err := who[i].LeaseTasks(ctx, wire.LeaseRequest{Node: names[i], Kinds: []task.Kind{task.Noop}, Wait: "5s"})
		if err == nil && len(got) != 1 {
			err = fmt.Errorf("%s was given %d tasks, want 1", names[i], len(got))
		}
		if err != nil {
			return wire.Leased{}, err
		}
		return got[0], nil
	}
	for range rounds {
		if _, err := l.Client(l.Coordinators...).SubmitTask(ctx, task.Spec{Kind: task.Noop}, ""); err != nil {
			return err
		}
		first, err := lease(1)
		if err != nil {
			return err
		}
		if _, err := who[1].FailTask(ctx, first.ID, wire.FailRequest{Lease: first.Lease, Release: true}); err != nil {
			return err
		}
		second, err := lease(0)
		if err != nil {
			return err
		}
		_, err = who[1].CompleteTask(ctx, first.ID, wire.CompleteRequest{Lease: first.Lease})
		switch {
		case err == nil:
			return broken("the task %s, held by lease %v, was completed by %v", first.ID, second.Lease, first.Lease)
		case !problem.Is(err, problem.StaleLease):
			return err
		}
		if _, err := who[0].CompleteTask(ctx, second.ID, wire.CompleteRequest{Lease: second.Lease}); err != nil {
			return err
		}
	}
	return nil
}

// TestAgentPaused: an agent that stops in the middle of a task, for longer than its
// lease, loses it to another, and is not believed when it goes on.
func TestAgentPaused(t *testing.T) {
	if err := agentPaused(begin(t, 3*time.Minute)); err != nil {
		t.Fatal(err)
	}
}

func agentPaused(ctx context.Context) (err error) {
	l, err := found(ctx, plan{agents: 2})
	if err != nil {
		return err
	}
	defer l.done(&err)
	c := l.Client(l.Coordinators...)
	made, err := c.SubmitTask(ctx, task.Spec{Kind: task.Noop, Input: []byte(`{"ms": 3000}`)}, "")
	if err != nil {
		return err
	}
	var held task.Task
	if err := within(ctx, 10*time.Second, "an agent to take the task", func(ctx context.Context) (err error) {
		if held, err = c.Task(ctx, made.ID, 0); err == nil && held.State != task.Leased {
			err = fmt.Errorf("it is %s", held.State)
		}
		return err
	}); err != nil {
		return err
	}
	holder := agent(l, held.Node)
	holder.Pause()
	defer holder.Resume()
	var done task.Task
	if err := promised(ctx, 25*time.Second, "another agent to do the task of one that is paused", func(ctx context.Context) (err error) {
		if done, err = c.Task(ctx, made.ID, 0); err == nil && done.State != task.Done {
			err = fmt.Errorf("it is %s", done.State)
		}
		return err
	}); err != nil {
		return err
	}
	holder.Resume()
	if err := l.agree(ctx, 30*time.Second); err != nil {
		return err
	}
	now, err := c.Task(ctx, made.ID, 0)
	switch {
	case err != nil:
		return err
	case done.Node == held.Node || now.Lease != done.Lease || now.Node != done.Node || now.State != task.Done:
		return broken("the task was held by %s, done by %s (%v), and is %s by %s (%v) now", held.Node, done.Node, done.Lease, now.State, now.Node, now.Lease)
	}
	return nil
}

func agent(l *lab, name string) *rig.Node {
	for _, n := range l.Agents {
		if n.Name == name {
			return n
		}
	}
	return nil
}
