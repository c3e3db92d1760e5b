package figures

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/rig"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A state that a group of coordinators may well have, for what a witness needs.
const (
	someNodes = 100
	someTasks = 3000
)

// group measures two coordinators and a witness: how long writes stand still
// when a leader is stopped as for an upgrade, and the witness's memory.
func (f *Figures) group(ctx context.Context, bin string, rounds int) (err error) {
	r, err := rig.New(rig.Options{Bin: bin, Coordinators: 2, Witnesses: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.Start(ctx, func(string) {}); err != nil {
		return err
	}
	if _, err := r.Healthy(ctx, ""); err != nil {
		return err
	}
	var gaps []time.Duration
	for range rounds {
		leader, err := r.Leader(ctx)
		if err != nil {
			return err
		}
		gap, err := stopped(ctx, r, leader)
		if err != nil {
			return err
		}
		gaps = append(gaps, gap)
		if err := leader.Start(); err != nil {
			return err
		}
		if _, err := r.Healthy(ctx, ""); err != nil {
			return err
		}
	}
	f.Stop = spread(gaps)
	if err := fill(ctx, r); err != nil {
		return err
	}
	f.Witness, err = memory(r.Witnesses)
	return err
}

// stopped stops the leader with SIGTERM while changes go through another
// coordinator one after the other, and returns the longest time between two of
// them that were accepted.
func stopped(ctx context.Context, r *rig.Rig, leader *rig.Node) (time.Duration, error) {
	others := slices.DeleteFunc(slices.Clone(r.Coordinators), func(n *rig.Node) bool { return n == leader })
	client := r.Client(others...)
	var gone <-chan struct{}
	last, longest := time.Time{}, time.Duration(0)
	for i := 0; ; i++ {
		if _, err := client.SubmitTask(ctx, noop(), ""); err != nil {
			return 0, fmt.Errorf("a change while %s stopped: %w", leader.Name, err)
		}
		now := time.Now()
		if gone != nil {
			longest = max(longest, now.Sub(last))
		}
		last = now
		switch i {
		case 5: // connections are open by now
			gone = leader.Ended()
			go leader.Stop() // the loop waits for it
		default:
			select {
			case <-gone: // nil until it is told to stop
				return longest, nil
			default:
			}
		}
	}
}

// noop is a task for much later.
func noop() task.Spec {
	return task.Spec{Kind: task.Noop, Input: json.RawMessage(`{}`), NotBefore: time.Now().Add(24 * time.Hour)}
}

// fill gives the group a state to keep.
func fill(ctx context.Context, r *rig.Rig) error {
	client := r.Client(r.Coordinators...)
	made, err := client.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Agent, Uses: someNodes})
	if err != nil {
		return err
	}
	code, err := identity.ParseJoinCode(made.Code)
	if err != nil {
		return err
	}
	for i := range someNodes { // one by one: many at once look like somebody who guesses
		if _, err := identity.Join(ctx, &net.Dialer{}, code, identity.JoinRequest{Name: fmt.Sprintf("some-%d", i), Version: "1.0"}); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for range someTasks {
		g.Go(func() error {
			_, err := client.SubmitTask(ctx, noop(), "")
			return err
		})
	}
	return g.Wait()
}
