package lab_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"primespark/shared/rig"
)

// TestLeaderKilled: the leader is killed under load, again and again. What was
// acknowledged is there, nothing is done twice, and the group goes on by itself.
func TestLeaderKilled(t *testing.T) {
	ctx := begin(t, 5*time.Minute)
	gaps, err := leaderKilled(ctx, "", either(4, 20))
	slices.Sort(gaps)
	t.Logf("SIGKILL to the next acknowledged write: %v", gaps)
	if err != nil {
		t.Fatal(err)
	}
}

// mostGap is how long writes may be missed after a leader was lost, in profile
// lan or in wan, which a slow disk makes of it (notes on reliability, A1).
const mostGap = 5 * time.Second

func leaderKilled(ctx context.Context, b build, rounds int) (gaps []time.Duration, err error) {
	l, err := found(ctx, plan{build: b})
	if err != nil {
		return nil, err
	}
	defer l.done(&err)
	d, err := beginLoad(ctx, l, 6, 2, 10*time.Millisecond)
	if err != nil {
		return nil, err
	}
	defer d.end()
	for range rounds {
		leader, err := l.leader(ctx)
		if err != nil {
			return gaps, err
		}
		if err := within(ctx, 10*time.Second, "some writes", func(context.Context) error { return more(d, 20) }); err != nil {
			return gaps, err
		}
		at := leader.Kill()
		var gap time.Duration
		if err := promised(ctx, mostGap, "a write after the leader was killed", func(context.Context) (err error) {
			gap, err = d.since(at)
			return err
		}); err != nil {
			return gaps, err
		}
		gaps = append(gaps, gap.Round(time.Millisecond))
		if err := leader.Start(); err != nil {
			return gaps, err
		}
		if err := l.back(ctx, leader); err != nil {
			return gaps, err
		}
	}
	d.rest()
	return gaps, d.conclude(ctx, l)
}

// more waits for further acknowledged writes.
func more(d *load, n int) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if k := len(d.acks); k < n || time.Since(d.acks[k-n].to) > 2*time.Second {
		return errors.New("there are not enough yet")
	}
	return nil
}

// since is the time from at to the next acknowledged write.
func (d *load) since(at time.Time) (time.Duration, error) {
	if gap, ok := d.first(at); ok {
		return gap, nil
	}
	return 0, errors.New("none was acknowledged")
}

// back waits until a coordinator that was started again follows.
func (l *lab) back(ctx context.Context, n *rig.Node) error {
	c := l.Client(n)
	return promised(ctx, 30*time.Second, n.Name+" to be back", func(ctx context.Context) error {
		r, err := c.Ready(ctx)
		if err == nil && !r.Ready {
			err = fmt.Errorf("it is not ready: %v", r.Reasons)
		}
		return err
	})
}

// conclude has the work done, compares the states of all coordinators, and all of
// their words with the ledger.
func (d *load) conclude(ctx context.Context, l *lab) error {
	if err := d.settled(ctx, 2*time.Minute, l.Client(l.Coordinators...)); err != nil {
		return err
	}
	d.end()
	if err := l.agree(ctx, 30*time.Second); err != nil {
		return err
	}
	if d.count() == 0 {
		return errors.New("no submission was acknowledged")
	}
	return d.checkAll(ctx, l)
}
