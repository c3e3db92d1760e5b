// Package upgrade brings the nodes of a fleet to another version, one after the other:
// the canary first, then the other agents, then the coordinators, the leader last.
// Each has to be healthy again before the next one is touched, and the first that is
// not ends it.
package upgrade

import (
	"cmp"
	"net"
	"slices"
	"strings"

	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// A Node is what is to be upgraded.
type Node struct {
	Name    string     `json:"name"`
	Role    fleet.Role `json:"role"`
	Version string     `json:"version"` // that runs now
	Host    string     `json:"host"`    // address, without a port
	Leads   bool       `json:"leads,omitempty"`
}

// Package is the Debian package of the node's daemon.
func (n Node) Package() string { return "prime-spark-" + string(n.Role) }

// Plan is the order in which nodes are upgraded. Canary names the first; empty for
// any agent. Only names those that are meant; none for all. It refuses what cannot
// go well: a canary that is not there, a name that nobody has.
func Plan(status wire.StatusBody, nodes []wire.NodeBody, canary string, only []string) (plan []Node, away []string, err error) {
	for _, name := range append(slices.Clone(only), canary) {
		if name != "" && !slices.ContainsFunc(nodes, func(n wire.NodeBody) bool { return n.Name == name }) {
			return nil, nil, problem.New(problem.NotFound, "List them: prime-spark nodes.", "There is no node %.64q.", name)
		}
	}
	for _, n := range nodes {
		switch {
		case n.State == "revoked" || n.State == "pending":
			continue
		case len(only) > 0 && n.Name != canary && !slices.Contains(only, n.Name):
			continue
		case n.Liveness != fleet.Alive && n.Name == canary:
			return nil, nil, problem.New(problem.Unreachable, "Name another one with --canary, or see what is wrong with it: prime-spark node "+canary+".", "The canary %s is %s.", canary, n.Liveness)
		case n.Liveness != fleet.Alive:
			away = append(away, n.Name)
			continue
		}
		plan = append(plan, Node{Name: n.Name, Role: n.Role, Version: version(status, n), Host: host(n), Leads: n.Name == status.Leader})
	}
	rank := func(n Node) int {
		switch {
		case n.Name == canary:
			return 0
		case n.Role == fleet.Agent:
			return 1
		case !n.Leads:
			return 2
		}
		return 3
	}
	slices.SortFunc(plan, func(a, b Node) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, n := range plan {
		if n.Host == "" {
			return nil, nil, problem.New(problem.Invalid, "Upgrade it by hand on its host: sudo apt-get install "+n.Package()+".", "Nobody knows the address of %s.", n.Name)
		}
	}
	return plan, away, nil
}

// version is what a node runs, as its own word has it, or else its group's.
func version(status wire.StatusBody, n wire.NodeBody) string {
	for _, c := range status.Coordinators {
		if c.Name == n.Name && c.Version != "" {
			return c.Version
		}
	}
	return n.Version
}

// host is where a node is; a witness has no API.
func host(n wire.NodeBody) string {
	for _, kind := range []string{"api", "raft", "gossip"} {
		if h, _, err := net.SplitHostPort(n.Addresses[kind]); err == nil && h != "" {
			return h
		}
	}
	return ""
}

// same compares versions as people write them.
func same(a, b string) bool { return strings.TrimPrefix(a, "v") == strings.TrimPrefix(b, "v") }
