package lab_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"primespark/shared/run"
)

// TestLinearizable: whatever happens to the leader, every answer about claims and
// nodes is one that a single machine could have given.
func TestLinearizable(t *testing.T) {
	ctx := begin(t, 10*time.Minute)
	calls, faults, err := linear(ctx, "", 8000, 7)
	t.Logf("%d calls, %d faults", calls, faults)
	if err != nil {
		t.Fatal(err)
	}
}

// linear records calls until there are so many, and so many faults.
func linear(ctx context.Context, b build, calls, faults int) (n, done int, err error) {
	l, err := found(ctx, plan{build: b})
	if err != nil {
		return 0, 0, err
	}
	defer l.done(&err)
	w, err := watch(ctx, l, 5*time.Millisecond)
	if err != nil {
		return 0, 0, err
	}
	defer w.end()
	for ; done < faults || w.count() < calls; done++ {
		if !run.Sleep(ctx, time.Second) {
			return w.count(), done, ctx.Err()
		}
		if faults == 0 {
			continue
		}
		if err := l.trouble(ctx, done); err != nil {
			return w.count(), done, err
		}
	}
	w.end()
	if err := l.agree(ctx, 30*time.Second); err != nil {
		return w.count(), done, err
	}
	return w.count(), done, w.check()
}

// trouble does something to the leader for a second or two, one thing after the
// other.
func (l *lab) trouble(ctx context.Context, which int) error {
	leader, err := l.leader(ctx)
	if err != nil {
		return err
	}
	hold := time.Second + time.Duration(rand.Int64N(int64(time.Second)))
	host, others := l.hosts[leader.Name], l.hostsOf(l.others(leader)...)
	switch which % 4 {
	case 0:
		leader.Kill()
		run.Sleep(ctx, hold/2)
		return leader.Start()
	case 1:
		leader.Pause()
		run.Sleep(ctx, hold)
		leader.Resume()
		return nil
	case 2:
		err = host.Cut(others...)
	case 3:
		err = host.Deafen(others...)
	}
	run.Sleep(ctx, hold)
	return errors.Join(err, l.net.Heal())
}

// TestModel: the checker can tell a history that must not be from one that may.
func TestModel(t *testing.T) {
	node := func(call, to string, from, until int64, o output) porcupine.Operation {
		return porcupine.Operation{Input: input{key: "node/a", call: call, to: to}, Call: from, Output: o, Return: until}
	}
	about := func(call, who string, with uint32, from, until int64, o output) porcupine.Operation {
		return porcupine.Operation{Input: input{key: "task/1", call: call, to: who, with: with}, Call: from, Output: o, Return: until}
	}
	drained, approved := output{state: "draining"}, output{state: "approved"}
	for name, test := range map[string]struct {
		history []porcupine.Operation
		want    porcupine.CheckResult
	}{
		"read after write":                 {[]porcupine.Operation{node(setNode, "draining", 0, 1, output{}), node(readNode, "", 2, 3, drained)}, porcupine.Ok},
		"stale read":                       {[]porcupine.Operation{node(setNode, "draining", 0, 1, output{}), node(readNode, "", 2, 3, approved)}, porcupine.Illegal},
		"read beside a write":              {[]porcupine.Operation{node(setNode, "draining", 0, 5, output{}), node(readNode, "", 2, 3, approved)}, porcupine.Ok},
		"unknown write, seen and unseen":   {[]porcupine.Operation{node(setNode, "draining", 0, 99, output{unknown: true}), node(readNode, "", 2, 3, approved), node(readNode, "", 4, 5, drained)}, porcupine.Ok},
		"unknown write, seen and undone":   {[]porcupine.Operation{node(setNode, "draining", 0, 99, output{unknown: true}), node(readNode, "", 2, 3, drained), node(readNode, "", 4, 5, approved)}, porcupine.Illegal},
		"claimed and done":                 {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(complete, "a", 1, 2, 3, output{}), about(getTask, "", 0, 4, 5, output{state: "done", node: "a", epoch: 1})}, porcupine.Ok},
		"one claim to two":                 {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(claim, "b", 0, 0, 1, output{epoch: 1})}, porcupine.Illegal},
		"done by a lease that has ended":   {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(claim, "b", 0, 2, 3, output{epoch: 2}), about(complete, "a", 1, 4, 5, output{})}, porcupine.Illegal},
		"refused for that":                 {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(claim, "b", 0, 2, 3, output{epoch: 2}), about(complete, "a", 1, 4, 5, output{stale: true})}, porcupine.Ok},
		"done twice":                       {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(complete, "a", 1, 2, 3, output{}), about(claim, "b", 0, 4, 5, output{epoch: 2})}, porcupine.Illegal},
		"done, and read as held":           {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(complete, "a", 1, 2, 3, output{}), about(getTask, "", 0, 4, 5, output{state: "leased", node: "a", epoch: 1})}, porcupine.Illegal},
		"completed, it may be, and done":   {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(complete, "a", 1, 2, 99, output{unknown: true}), about(getTask, "", 0, 4, 5, output{state: "done", node: "a", epoch: 1})}, porcupine.Ok},
		"lapsed, and held again by nobody": {[]porcupine.Operation{about(claim, "a", 0, 0, 1, output{epoch: 1}), about(getTask, "", 0, 2, 3, output{state: "ready", node: "a", epoch: 1}), about(getTask, "", 0, 4, 5, output{state: "leased", node: "a", epoch: 1})}, porcupine.Illegal},
	} {
		if got := porcupine.CheckOperations(clusterModel, test.history); got != (test.want == porcupine.Ok) {
			t.Errorf("%s: linearizable %t, want %s", name, got, test.want)
		}
	}
}
