package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// A Fleet is what an upgrade sees of the fleet and does to it: a *wire.Client.
type Fleet interface {
	Status(ctx context.Context) (wire.StatusBody, error)
	Nodes(ctx context.Context) ([]wire.NodeBody, error)
	NodeAction(ctx context.Context, name string, a wire.Action) (wire.NodeBody, error)
}

// An Installer has a node's package manager install a version, or the newest one if
// that is empty. Changed is false if that was installed before.
type Installer func(ctx context.Context, n Node, version string) (changed bool, err error)

// Config is what an upgrade works with.
type Config struct {
	Fleet   Fleet
	Install Installer
	To      string        // version; empty: what the canary gets
	Drain   time.Duration // an agent may take to answer what it has, before it is touched
	Within  time.Duration // a node has to be healthy again
	Stays   time.Duration // healthy, before the next one is touched
	Canary  time.Duration // the same of the first one
	Tell    func(words string)
}

const (
	lookEvery  = time.Second
	settleTime = 10 * time.Second // for a fleet that was not healthy for a moment, before a node is touched
)

// Run upgrades the nodes of a plan in order, and returns those that are done. It stops
// at the first that does not get healthy, or that would take the quorum along.
func (c Config) Run(ctx context.Context, plan []Node) (done []Node, err error) {
	target := c.To
	for i, n := range plan {
		if target != "" && same(n.Version, target) {
			c.Tell(fmt.Sprintf("%s runs %s already.", n.Name, n.Version))
			done = append(done, n)
			continue
		}
		got, err := c.one(ctx, n, target, i == 0)
		if err != nil {
			return done, c.stopped(n, plan[i+1:], err)
		}
		n.Version, target = got, got
		done = append(done, n)
	}
	return done, nil
}

// stopped words the end of an upgrade that was not to be.
func (c Config) stopped(n Node, left []Node, err error) error {
	names := make([]string, len(left))
	for i, l := range left {
		names[i] = l.Name
	}
	rest := "It was the last one."
	if len(names) > 0 {
		rest = "Not touched: " + strings.Join(names, ", ") + "."
	}
	remedy := "See what it says: prime-spark node " + n.Name + ", and journalctl -u " + n.Package() + " on it. Run this again once it is well: nodes that are done are left alone."
	if p, ok := errors.AsType[*problem.Error](err); ok && p.Remedy != "" {
		remedy = p.Remedy
	}
	return problem.New(problem.Of(err).Code, remedy, "The upgrade stopped at %s: %s. %s", n.Name, strings.TrimSuffix(err.Error(), "."), rest)
}

// one upgrades a node and returns the version that it runs then.
func (c Config) one(ctx context.Context, n Node, target string, first bool) (string, error) {
	before, err := c.ready(ctx, n)
	if err != nil {
		return "", err
	}
	if n.Role == fleet.Agent {
		if err := c.drain(ctx, n); err != nil {
			return "", err
		}
	}
	c.Tell(fmt.Sprintf("%s: installing %s", n.Name, n.Package()))
	changed, err := c.Install(ctx, n, target)
	if err == nil && !changed && (target == "" || !same(n.Version, target)) {
		err = problem.New(problem.Conflict, "Set up the repository on it as the README says, or wait for the release to be there.", "Its apt knows no newer version than %s.", n.Version)
	}
	var got string
	if err == nil {
		stays := c.Stays
		if first {
			stays = c.Canary
		}
		got, err = c.healthy(ctx, n, target, before, stays)
	}
	if n.Role == fleet.Agent {
		// Even if it went wrong: whoever looks after the node decides what it may do.
		if _, again := c.Fleet.NodeAction(context.WithoutCancel(ctx), n.Name, wire.Undrain); again != nil {
			err = errors.Join(err, fmt.Errorf("it stays drained (prime-spark undrain %s gives it work again): %w", n.Name, again))
		}
	}
	if err != nil {
		return "", err
	}
	c.Tell(fmt.Sprintf("%s: runs %s and is well", n.Name, got))
	return got, nil
}

// ready waits until a node may be touched, and returns the models that it serves.
func (c Config) ready(ctx context.Context, n Node) (models []string, err error) {
	for end := time.Now().Add(settleTime); ; {
		models, err = c.mayGo(ctx, n)
		if err == nil || time.Now().After(end) || !run.Sleep(ctx, lookEvery) {
			return models, err
		}
	}
}

// mayGo tells whether the fleet can be without a node for a moment.
func (c Config) mayGo(ctx context.Context, n Node) ([]string, error) {
	v, err := c.look(ctx)
	if err != nil {
		return nil, err
	}
	s := v.status.Summary
	switch {
	case v.status.Mode != fleet.Normal:
		return nil, problem.New(problem.NoQuorum, "Bring the coordinators back first: prime-spark coordinators list.", "The coordinators have no quorum.")
	case n.Role == fleet.Coordinator && s.Voters > 2 && s.QuorumHave <= s.QuorumNeed:
		return nil, problem.New(problem.Conflict, "Bring the one that is missing back first: prime-spark coordinators list.",
			"Without it %d of %d coordinators would be left, and it takes %d to decide.", s.QuorumHave-1, s.Voters, s.QuorumNeed)
	}
	node, ok := v.nodes[n.Name]
	if !ok || node.Liveness != fleet.Alive {
		return nil, problem.New(problem.Unreachable, "", "It does not answer.")
	}
	return served(node), nil
}

func served(n wire.NodeBody) (models []string) {
	for _, m := range n.Models {
		models = append(models, m.Name)
	}
	return models
}

// drain gives an agent no new work, and waits for what it has.
func (c Config) drain(ctx context.Context, n Node) error {
	if _, err := c.Fleet.NodeAction(ctx, n.Name, wire.Drain); err != nil {
		return fmt.Errorf("drain it: %w", err)
	}
	for end := time.Now().Add(c.Drain); time.Now().Before(end); {
		v, err := c.look(ctx)
		if err == nil && v.nodes[n.Name].InFlight+v.nodes[n.Name].Queue == 0 {
			return nil
		}
		if !run.Sleep(ctx, lookEvery) {
			return ctx.Err()
		}
	}
	c.Tell(n.Name + ": still answers requests; they are given to others if they do not end")
	return nil
}

// A view is the fleet at one time.
type view struct {
	status wire.StatusBody
	nodes  map[string]wire.NodeBody
}

func (c Config) look(ctx context.Context) (view, error) {
	v := view{nodes: map[string]wire.NodeBody{}}
	var err error
	if v.status, err = c.Fleet.Status(ctx); err != nil {
		return v, err
	}
	all, err := c.Fleet.Nodes(ctx)
	for _, n := range all {
		v.nodes[n.Name] = n
	}
	return v, err
}

// healthy waits until a node runs the target, or any other version than before, and
// is as well as it was, and stays so.
func (c Config) healthy(ctx context.Context, n Node, target string, models []string, stays time.Duration) (got string, err error) {
	end := time.Now().Add(c.Within)
	var since time.Time
	for {
		var ill string
		got, ill = c.check(ctx, n, target, models)
		now := time.Now()
		switch {
		case ill != "":
			since = time.Time{}
		case since.IsZero():
			since = now
			c.Tell(fmt.Sprintf("%s: healthy with %s, watching it for %v", n.Name, got, stays))
		case now.Sub(since) >= stays:
			return got, nil
		}
		if now.After(end.Add(stays)) || ill != "" && now.After(end) {
			return "", problem.New(problem.Deadline, "", "It is not healthy within %v: %s.", c.Within, ill)
		}
		if !run.Sleep(ctx, lookEvery) {
			return "", ctx.Err()
		}
	}
}

// drained is why an agent is not ready that was drained for its upgrade, and is well.
var drained = []string{string(health.Draining)}

// check returns the version that a node runs, and what is wrong with it; empty if
// nothing is.
func (c Config) check(ctx context.Context, n Node, target string, models []string) (got, ill string) {
	v, err := c.look(ctx)
	if err != nil {
		return "", "nobody tells how it fares: " + err.Error()
	}
	node := v.nodes[n.Name]
	got = version(v.status, node)
	switch {
	case node.Liveness != fleet.Alive:
		return got, "it does not answer"
	case target != "" && !same(got, target):
		return got, fmt.Sprintf("it runs %s, and not %s", got, target)
	case target == "" && same(got, n.Version):
		return got, fmt.Sprintf("it still runs %s", got)
	case v.status.Mode != fleet.Normal:
		return got, "the coordinators have no quorum"
	case n.Role == fleet.Agent && !node.Ready && !slices.Equal(node.Reasons, drained):
		return got, "it is not ready (" + strings.Join(node.Reasons, ", ") + ")"
	}
	if n.Role == fleet.Agent {
		now := served(node)
		for _, m := range models {
			if !slices.Contains(now, m) {
				return got, "it does not serve " + m + " as before"
			}
		}
		return got, ""
	}
	for _, member := range v.status.Coordinators {
		if member.Name == n.Name && member.Alive && member.Voter && member.Role != wire.RoleUnreachable && member.Role != wire.RoleCandidate {
			return got, ""
		}
	}
	return got, "it does not vote in the group"
}
