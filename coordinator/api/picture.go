package api

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/version"
	"primespark/shared/wire"
)

// A picture is all that the fleet's bodies are made of, at one moment.
type picture struct {
	self       string
	state      fsm.State
	view       fleet.View
	standing   Standing
	leaderless time.Duration // how long no leader has been known; 0 if one is
	removed    bool          // the others count this coordinator no more
}

// electing is how long a group may be without a leader before that is more
// than an election.
const electing = 3 * time.Second

// nodes are all nodes that were ever admitted, by name.
func (p picture) nodes() []wire.NodeBody {
	all := []wire.NodeBody{}
	for _, n := range p.state.NodeList() {
		all = append(all, p.node(n))
	}
	return all
}

func (p picture) node(n fsm.Node) wire.NodeBody {
	b := wire.NodeBody{
		Name: n.Name, Role: n.Role, State: string(n.State), Version: n.Version,
		Models: []fleet.Serving{}, Addresses: map[string]string{},
	}
	for key, value := range map[string]string{"api": n.Addresses.API, "raft": n.Addresses.Raft, "gossip": n.Addresses.Gossip} {
		if value != "" {
			b.Addresses[key] = value
		}
	}
	g, ok := p.view.Find(n.Name)
	if !ok {
		return b
	}
	b.Liveness, b.Since, b.LastSeen = g.Liveness, g.Since.UTC(), g.LastSeen.UTC()
	v := g.Vital
	b.Mode, b.Ready, b.Reasons, b.Power, b.Temperature = v.Mode, v.Ready && g.Liveness == fleet.Alive, v.Reasons, v.Power, v.Temperature
	b.Throttled = v.Throttled
	b.CPU, b.Memory, b.InFlight, b.Queue, b.Accelerator = v.CPU, v.Memory, v.InFlight, v.Queue, v.Accelerator
	if len(v.Models) > 0 {
		b.Models = v.Models
	}
	if g.Version != "" {
		b.Version = g.Version
	}
	if g.API != "" {
		b.Addresses["api"] = g.API
	}
	return b
}

// coordinators are the members of the raft group, by name.
func (p picture) coordinators() []wire.Coordinator {
	all := []wire.Coordinator{}
	for _, s := range p.standing.Servers {
		c := wire.Coordinator{Name: s.Name, Raft: s.Address, Voter: s.Voter, Role: wire.RoleFollower}
		n := p.state.Nodes[s.Name]
		if n.Witness {
			c.Role = wire.RoleWitness
		}
		c.API, c.Version = n.Addresses.API, n.Version
		g, seen := p.view.Find(s.Name)
		c.Alive = s.Name == p.self || seen && g.Liveness == fleet.Alive
		if seen {
			c.API, c.Version = or(g.API, c.API), or(g.Version, c.Version)
			c.Conditions = g.Vital.Reasons
			if seat := g.Vital.Seat; seat != nil && c.Alive {
				c.Behind, c.DiskFree, c.DiskWrite = &seat.Behind, &seat.Free, &seat.Write
				if seat.Contact >= 0 && s.Name != p.self && s.Name != p.standing.Leader {
					c.LastContactMS = &seat.Contact
				}
			}
		}
		switch {
		case s.Name == p.self:
			c.Role = p.standing.Role
			if last := p.standing.LastContact; last >= 0 && c.Role != wire.RoleLeader {
				ms := last.Milliseconds()
				c.LastContactMS = &ms
			}
		case !c.Alive:
			c.Role = wire.RoleUnreachable
		case s.Name == p.standing.Leader:
			c.Role = wire.RoleLeader
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b wire.Coordinator) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (p picture) status() wire.StatusBody {
	b := wire.StatusBody{
		Cluster: p.state.Cluster.Name, Leader: p.standing.Leader, Term: p.standing.Term,
		AppliedIndex: p.state.Index, Coordinators: p.coordinators(),
	}
	if last := p.state.Backup; last != (fsm.Backup{}) {
		b.Backup = &wire.BackupStatus{
			At: last.At, VerifiedAt: last.Verified, Node: last.Node, Path: last.Path, Error: last.Error, FailingSince: last.Failed,
		}
	}
	b.Summary = p.summary(b.Coordinators)
	b.Advice, b.Removed = wire.GroupAdvice(b.Summary.Voters), p.removed
	b.Behind, b.Newest = p.behind()
	b.Mode = p.mode(b.Summary)
	b.Summary.Sentence = p.sentence(b.Summary)
	return b
}

// behind are the nodes that want an upgrade, and what the newest of the fleet runs;
// nothing if none does.
func (p picture) behind() ([]string, string) {
	versions := map[string]string{}
	for _, n := range p.view {
		if p.state.Nodes[n.Name].Active() && n.Liveness == fleet.Alive {
			versions[n.Name] = n.Version
		}
	}
	names, newest := version.Behind(versions)
	if len(names) == 0 {
		return nil, ""
	}
	slices.Sort(names)
	return names, newest
}

func (p picture) summary(group []wire.Coordinator) wire.Summary {
	var s wire.Summary
	for _, c := range group {
		if !c.Voter {
			continue
		}
		s.Voters++
		if c.Alive {
			s.QuorumHave++
		}
	}
	s.QuorumNeed = s.Voters/2 + 1
	for _, n := range p.state.Nodes {
		if n.Role != fleet.Agent || !n.Active() {
			continue
		}
		s.AgentsTotal++
		g, ok := p.view.Find(n.Name)
		if !ok || g.Liveness != fleet.Alive {
			continue
		}
		if g.Vital.Ready && n.State == fsm.Approved {
			s.AgentsHealthy++
		}
		if power := g.Vital.Power; power.Source == fleet.Battery {
			s.OnBattery++
			if m := power.Minutes; m != nil && (s.MinutesLeft == nil || *m < *s.MinutesLeft) {
				s.MinutesLeft = m
			}
		}
	}
	return s
}

// mode is the autonomy level of this coordinator. An election is no loss of
// the quorum: it is over in a second.
func (p picture) mode(s wire.Summary) fleet.Mode {
	if p.standing.Leader != "" || s.QuorumHave >= s.QuorumNeed && p.leaderless < electing {
		return fleet.Normal
	}
	for _, n := range p.view {
		if n.Name != p.self && n.Liveness == fleet.Alive {
			return fleet.Degraded
		}
	}
	return fleet.Isolated
}

// sentence says how the fleet is, in one breath.
func (p picture) sentence(s wire.Summary) string {
	var parts []string
	if s.AgentsTotal == 0 {
		parts = append(parts, "No agent has joined yet")
	} else {
		parts = append(parts, fmt.Sprintf("%d of %d agents healthy", s.AgentsHealthy, s.AgentsTotal))
	}
	switch {
	case p.standing.Leader != "":
		parts = append(parts, fmt.Sprintf("quorum %d/%d", s.QuorumHave, s.Voters))
	case s.QuorumHave >= s.QuorumNeed && p.leaderless < electing:
		parts = append(parts, fmt.Sprintf("%d/%d coordinators, electing a leader", s.QuorumHave, s.Voters))
	default:
		parts = append(parts, fmt.Sprintf("no quorum (%d/%d)", s.QuorumHave, s.Voters))
	}
	if s.OnBattery > 0 {
		text := fmt.Sprintf("%d on battery", s.OnBattery)
		if m := s.MinutesLeft; m != nil && *m >= 0 && *m < 1e6 {
			text += fmt.Sprintf(" %.0f min", *m)
		}
		parts = append(parts, text)
	}
	waiting := 0
	for _, n := range p.state.Nodes {
		if n.State == fsm.Pending {
			waiting++
		}
	}
	if waiting == 1 {
		parts = append(parts, "1 node waits for approval")
	} else if waiting > 1 {
		parts = append(parts, fmt.Sprintf("%d nodes wait for approval", waiting))
	}
	return strings.Join(parts, ", ") + "."
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
