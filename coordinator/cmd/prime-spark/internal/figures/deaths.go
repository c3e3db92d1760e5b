package figures

import (
	"context"
	"fmt"
	"slices"
	"time"

	"primespark/coordinator/cmd/prime-spark/internal/demo"
	"primespark/shared/rig"
	"primespark/shared/wire"
)

// Times of one round.
const (
	deathLimit = 30 * time.Second
	deathLook  = 10 * time.Millisecond
	nap        = 5 * time.Second // that a coordinator is stopped
	afterNap   = 3 * time.Second // in which it would call somebody dead
)

// deaths measures how long a dead agent is still asked: from its end until no
// coordinator would send it a request. Then it stops a coordinator for a while,
// which must hold nobody for dead for that.
func (f *Figures) deaths(ctx context.Context, r *rig.Rig, rounds int) error {
	for _, one := range []struct {
		into  *Spread
		end   func(*rig.Node) time.Time
		again func(*rig.Node) error
	}{
		{&f.Killed, (*rig.Node).Kill, (*rig.Node).Start},
		{&f.Frozen, func(n *rig.Node) time.Time { at := time.Now(); n.Pause(); return at }, func(n *rig.Node) error { n.Resume(); return nil }},
	} {
		var all []time.Duration
		for i := range rounds {
			victim := r.Agents[i%len(r.Agents)]
			at := one.end(victim)
			took, err := outOfRouting(ctx, r, victim.Name, at)
			if err != nil {
				return err
			}
			all = append(all, took)
			if err := one.again(victim); err != nil {
				return err
			}
			if _, err := r.Healthy(ctx, demo.Model); err != nil {
				return err
			}
		}
		*one.into = spread(all)
	}
	return f.naps(ctx, r, min(rounds, len(r.Coordinators)))
}

// outOfRouting waits until no coordinator would ask the agent, and returns how
// long after its end that was.
func outOfRouting(ctx context.Context, r *rig.Rig, agent string, at time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, deathLimit)
	defer cancel()
	tick := time.NewTicker(deathLook)
	defer tick.Stop()
	for _, c := range r.Coordinators {
		for {
			route, err := plain(c).Route(ctx, demo.Model)
			if err == nil && !slices.ContainsFunc(route.Candidates, func(x wire.Candidate) bool { return x.Node == agent }) {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return 0, fmt.Errorf("%s still asks %s %v after its end: %v", c.Name, agent, deathLimit, err)
			}
		}
	}
	return time.Since(at), nil
}

// naps stops one coordinator after another and counts whom it calls dead after.
func (f *Figures) naps(ctx context.Context, r *rig.Rig, rounds int) error {
	for i := range rounds {
		sleeper := r.Coordinators[i]
		before, err := plain(sleeper).Events(ctx, "", 1)
		if err != nil {
			return err
		}
		sleeper.Pause()
		time.Sleep(nap)
		sleeper.Resume()
		time.Sleep(afterNap)
		last := ""
		if len(before) > 0 {
			last = before[0].ID
		}
		seen, err := plain(sleeper).Events(ctx, last, 1000)
		if err != nil {
			return err
		}
		for _, e := range seen {
			if e.Code == "node.dead" {
				f.Slandered++
			}
		}
		f.Naps++
		if _, err := r.Healthy(ctx, demo.Model); err != nil {
			return err
		}
	}
	return nil
}
