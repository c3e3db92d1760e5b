package lab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/task"
)

// TestDisks: the leader's disk is full, hangs, or is slow. The group goes on, the
// one with the disk says what is wrong, and is well again by itself.
func TestDisks(t *testing.T) {
	ctx := begin(t, 5*time.Minute)
	told, err := badDisks(ctx)
	for _, line := range told {
		t.Log(line)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func badDisks(ctx context.Context) (told []string, err error) {
	l, err := found(ctx, plan{disks: true})
	if err != nil {
		return nil, err
	}
	defer l.done(&err)
	d, err := beginLoad(ctx, l, 2, 1, 20*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer d.end()

	leader, err := l.leader(ctx)
	if err != nil {
		return told, err
	}
	leader.MayEnd()
	at := time.Now()
	if err := l.disks[leader.Name].Fill(0); err != nil {
		return told, err
	}
	if err := l.complains(ctx, leader, "storage_full", 5*time.Second); err != nil {
		return told, err
	}
	if err := l.goesOn(ctx, d, leader, at); err != nil {
		return told, fmt.Errorf("leader's disk full: %w", err)
	}
	told = append(told, fmt.Sprintf("leader's disk full: others lead, writing, after %v", time.Since(at).Round(time.Millisecond)))
	if err := errors.Join(l.disks[leader.Name].Empty(), l.revive(leader)); err != nil {
		return told, err
	}
	at = time.Now()
	if err := l.agree(ctx, 15*time.Second); err != nil {
		return told, fmt.Errorf("room again: %w", err)
	}
	told = append(told, fmt.Sprintf("room again: well after %v", time.Since(at).Round(time.Millisecond)))

	if leader, err = l.leader(ctx); err != nil {
		return told, err
	}
	leader.MayEnd()
	at = time.Now()
	if err := l.disks[leader.Name].Freeze(); err != nil {
		return told, err
	}
	if err := l.goesOn(ctx, d, leader, at); err != nil {
		return told, errors.Join(fmt.Errorf("leader's disk hangs: %w", err), l.disks[leader.Name].Thaw())
	}
	told = append(told, fmt.Sprintf("leader's disk hangs: others lead, writing, after %v", time.Since(at).Round(time.Millisecond)))
	if err := errors.Join(l.disks[leader.Name].Thaw(), l.revive(leader), l.agree(ctx, 30*time.Second)); err != nil {
		return told, fmt.Errorf("disk works again: %w", err)
	}
	d.end()
	if err := d.checkAll(ctx, l); err != nil {
		return told, err
	}

	line, err := l.slowDisks(ctx)
	return append(told, line), err
}

// goesOn waits until others lead, and a write is acknowledged.
func (l *lab) goesOn(ctx context.Context, d *load, without *rig.Node, at time.Time) error {
	if err := l.leads(ctx, 7*time.Second, l.others(without)...); err != nil {
		return err
	}
	led := time.Now()
	return promised(ctx, mostGap, "a write", func(context.Context) error {
		_, err := d.since(led)
		return err
	})
}

// complains waits until a coordinator says in /readyz what is wrong.
func (l *lab) complains(ctx context.Context, n *rig.Node, code string, limit time.Duration) error {
	return promised(ctx, limit, n.Name+" to say "+code, func(ctx context.Context) error {
		r, err := l.Client(n).Ready(ctx)
		if err != nil {
			return err
		}
		for _, reason := range r.Reasons {
			if reason.Code == code {
				return nil
			}
		}
		return fmt.Errorf("it says %v", r.Reasons)
	})
}

// slowDisks writes while every disk lets writes through in every twentieth
// millisecond or so, as SD cards do.
func (l *lab) slowDisks(ctx context.Context) (told string, err error) {
	term, err := l.term(ctx)
	if err != nil {
		return "", err
	}
	for _, n := range l.Coordinators {
		n.MayEnd()
		l.disks[n.Name].Slow(20*time.Millisecond, 5*time.Millisecond)
	}
	var took []time.Duration
	begun := time.Now()
	for err == nil && time.Since(begun) < 8*time.Second {
		from := time.Now()
		_, err = l.Client(l.Coordinators...).SubmitTask(ctx, task.Spec{Kind: task.Noop}, "")
		took = append(took, time.Since(from))
	}
	for _, n := range l.Coordinators {
		err = errors.Join(err, l.disks[n.Name].Quick())
	}
	if err != nil {
		return "", err
	}
	slices.Sort(took)
	told = fmt.Sprintf("all disks slow: %d writes of one client, median %v, slowest %v", len(took), took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
	if err := l.agree(ctx, 30*time.Second); err != nil {
		return told, err
	}
	now, err := l.term(ctx)
	if err == nil && now > term+1 {
		err = broken("slow disks caused %d elections", now-term)
	}
	return told, err
}
