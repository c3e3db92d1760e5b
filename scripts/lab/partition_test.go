package lab_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"primespark/shared/problem"
	"primespark/shared/rig"
	"primespark/shared/task"
)

// TestPartitions: the network between the coordinators is cut, both ways or one
// way, or one of them is stopped for a while. The majority goes on, the minority
// says that it cannot, and nobody loses anything.
func TestPartitions(t *testing.T) {
	ctx := begin(t, 5*time.Minute)
	told, err := partitions(ctx, either(1, 4))
	for _, line := range told {
		t.Log(line)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// mostTerms is how far the term may rise by one fault: an election or two, and no
// storm of them.
const mostTerms = 3

func partitions(ctx context.Context, rounds int) (told []string, err error) {
	l, err := found(ctx, plan{})
	if err != nil {
		return nil, err
	}
	defer l.done(&err)
	d, err := beginLoad(ctx, l, 4, 2, 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer d.end()
	for range rounds {
		for _, cut := range []struct {
			name     string
			follower bool // it is a follower's fault, and the leader stays
			alone    bool // the one cut off has to say so
			begin    func(one *rig.Node, others []*rig.Node) error
			end      func(one *rig.Node) error
		}{
			{"leader cut off", false, true, l.cut, l.heal},
			{"leader hears nobody, and is heard", false, true, l.deafen, l.heal},
			{"leader stopped", false, false, func(n *rig.Node, _ []*rig.Node) error { n.Pause(); return nil }, func(n *rig.Node) error { n.Resume(); return nil }},
			{"follower cut off", true, true, l.cut, l.heal},
			{"follower hears nobody, and is heard", true, true, l.deafen, l.heal},
			{"follower stopped", true, false, func(n *rig.Node, _ []*rig.Node) error { n.Pause(); return nil }, func(n *rig.Node) error { n.Resume(); return nil }},
		} {
			gap, err := l.parted(ctx, d, cut.follower, cut.alone, cut.begin, cut.end)
			if err != nil {
				return told, fmt.Errorf("%s: %w", cut.name, err)
			}
			told = append(told, fmt.Sprintf("%s: next write after %v", cut.name, gap.Round(time.Millisecond)))
		}
	}
	d.rest()
	return told, d.conclude(ctx, l)
}

func (l *lab) cut(n *rig.Node, others []*rig.Node) error {
	return l.hosts[n.Name].Cut(l.hostsOf(others...)...)
}

func (l *lab) deafen(n *rig.Node, others []*rig.Node) error {
	return l.hosts[n.Name].Deafen(l.hostsOf(others...)...)
}

func (l *lab) heal(*rig.Node) error { return l.net.Heal() }

// parted does something to one coordinator for about three seconds, and returns
// how long writes were missed.
func (l *lab) parted(ctx context.Context, d *load, follower, alone bool, begin func(*rig.Node, []*rig.Node) error, end func(*rig.Node) error) (gap time.Duration, err error) {
	one, err := l.leader(ctx)
	if err != nil {
		return 0, err
	}
	if follower {
		one = l.follower(one)
	}
	term, err := l.term(ctx)
	if err != nil {
		return 0, err
	}
	at := time.Now()
	if err := begin(one, l.others(one)); err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, end(one))
		}
	}()
	if err := l.leads(ctx, mostGap, l.others(one)...); err != nil {
		return 0, err
	}
	if err := promised(ctx, mostGap, "a write by the majority", func(context.Context) (err error) {
		gap, err = d.since(at)
		return err
	}); err != nil {
		return gap, err
	}
	if alone {
		if err := l.refuses(ctx, one); err != nil {
			return gap, err
		}
	}
	select {
	case <-time.After(time.Until(at.Add(3 * time.Second))):
	case <-ctx.Done():
	}
	if err := end(one); err != nil {
		return gap, err
	}
	if err := l.agree(ctx, 30*time.Second); err != nil {
		return gap, err
	}
	now, err := l.term(ctx)
	if err == nil && now > term+mostTerms {
		err = broken("the term rose from %d to %d", term, now)
	}
	return gap, err
}

// refuses waits until a coordinator that is cut off says so, with a time to come
// back. It must not have a write acknowledged, nor answer a read that is not stale.
func (l *lab) refuses(ctx context.Context, n *rig.Node) error {
	c := l.Client(n)
	return promised(ctx, mostGap, n.Name+" to say that it has no quorum", func(ctx context.Context) error {
		_, err := c.SubmitTask(ctx, task.Spec{Kind: task.Noop}, "")
		if err == nil {
			return broken("%s, cut off from the others, acknowledged a write", n.Name)
		}
		if !problem.Is(err, problem.NoQuorum) && !problem.Is(err, problem.NoLeader) {
			return fmt.Errorf("it says: %w", err)
		}
		if _, err := c.Tasks(ctx, "", "", 1); err == nil {
			return broken("%s, cut off from the others, answered a read that is not stale", n.Name)
		}
		return nil
	})
}
