package consensus

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/run"
)

// Tuning of the membership loop.
const (
	memberEvery   = time.Second     // how often it looks without being woken
	changeTimeout = 5 * time.Second // how long a change of the group waits in the leader's queue
	// caughtUp is how many entries a new member may be behind when it becomes a
	// voter: what a busy leader appends in a fraction of a second.
	caughtUp = 64
)

// KeepMembers makes the raft configuration what the agreed state says it should
// be, until ctx ends. It is for the leader (lead.While) and does no harm on
// another: raft refuses.
//
// A coordinator that joined follows at first and does not count. It becomes a
// voter when it is running and has caught up, so that one which joined and was
// never started does not cost the others their majority. One that is revoked, or
// whose name an agent has since, is removed; one that announced another address
// is moved; a voter that lost its memory stops being one until it has it back.
func (n *Node) KeepMembers(ctx context.Context) error {
	failing := ""
	for ctx.Err() == nil {
		state, changed := n.fsm.State()
		m := nextMove(state, n.Status().Servers, n.name, func(name string) health { return n.health(ctx, name) })
		err := n.move(m)
		if err != nil && failing != err.Error() {
			n.log.Warn("group not changed, trying again", "err", err)
		}
		failing = ""
		if err != nil {
			failing = err.Error()
		} else if m.kind != stay {
			continue // there may be more to do
		}
		if !run.Sleep(ctx, calm) {
			return nil
		}
		pause := time.NewTimer(run.Jitter(memberEvery))
		select {
		case <-changed:
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
	return nil
}

// health is what a leader has to know of another member.
type health struct {
	ready bool // it runs and has all that this leader has
	fresh bool // it has lost its memory, or never had one
}

// health asks a member. One that is not reachable is neither: raft's heartbeats
// tell more about it.
func (n *Node) health(ctx context.Context, name string) health {
	commit := n.raft.CommitIndex()
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	s, err := n.StatusOf(ctx, name)
	if err != nil {
		return health{}
	}
	return health{
		ready: !s.Fresh && s.Leader == n.name && s.Last+caughtUp >= commit && s.Applied > 0,
		fresh: s.Fresh,
	}
}

// A move is one change of the raft configuration.
type move struct {
	kind          moveKind
	name, address string
}

type moveKind string

const (
	stay    moveKind = ""
	add     moveKind = "add"     // as one that does not count
	promote moveKind = "promote" // to a voter
	demote  moveKind = "demote"  // to one that does not count
	readdr  moveKind = "move"    // to another address
	remove  moveKind = "remove"
	resign  moveKind = "resign" // from the lead; the next leader removes this node
)

// nextMove decides on the next change: one at a time, and none that waits keeps
// another back.
func nextMove(state fsm.State, servers []Server, self string, of func(name string) health) move {
	for _, node := range state.Coordinators() {
		a := node.Addresses.Raft
		i := slices.IndexFunc(servers, func(s Server) bool { return s.Name == node.Name })
		switch {
		case a == "", slices.ContainsFunc(servers, func(s Server) bool { return s.Address == a && s.Name != node.Name }):
			// Nowhere to be reached, or where another is: raft would refuse it, and so
			// keep those back who come after it.
		case i < 0:
			return move{add, node.Name, a}
		case servers[i].Address != a:
			return move{readdr, node.Name, a}
		}
	}
	// Those who go, go one by one, this node last of all. Whoever is not in the
	// state stays: at the beginning nobody is.
	gone := slices.DeleteFunc(slices.Clone(servers), func(s Server) bool {
		node, known := state.Nodes[s.Name]
		return !known || node.Active() && node.Role == fleet.Coordinator
	})
	slices.SortFunc(gone, func(a, b Server) int {
		return cmp.Or(compareBool(a.Name == self, b.Name == self), cmp.Compare(a.Name, b.Name))
	})
	if len(gone) > 0 {
		if gone[0].Name == self {
			return move{kind: resign, name: self}
		}
		return move{kind: remove, name: gone[0].Name}
	}
	for _, s := range servers {
		if s.Name == self {
			continue
		}
		switch h := of(s.Name); {
		case s.Voter && h.fresh:
			return move{demote, s.Name, s.Address}
		case !s.Voter && h.ready:
			return move{promote, s.Name, s.Address}
		}
	}
	return move{}
}

// compareBool sorts false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// move carries a move out.
func (n *Node) move(m move) error {
	id, at := raft.ServerID(m.name), raft.ServerAddress(m.address)
	var f raft.Future
	switch m.kind {
	case stay:
		return nil
	case add:
		f = n.raft.AddNonvoter(id, at, 0, changeTimeout)
	case promote:
		f = n.raft.AddVoter(id, at, 0, changeTimeout)
	case readdr:
		// Each keeps the vote of a member as it is: neither gives one nor takes it.
		if n.votes(m.name) {
			f = n.raft.AddVoter(id, at, 0, changeTimeout)
		} else {
			f = n.raft.AddNonvoter(id, at, 0, changeTimeout)
		}
	case demote:
		f = n.raft.DemoteVoter(id, 0, changeTimeout)
	case remove:
		f = n.raft.RemoveServer(id, 0, changeTimeout)
	case resign:
		f = n.raft.LeadershipTransfer()
	}
	if err := f.Error(); err != nil {
		return fmt.Errorf("%s coordinator %s: %w", m.kind, m.name, err)
	}
	n.log.Info("group changed", "change", string(m.kind), "coordinator", m.name, "address", m.address)
	return nil
}

func (n *Node) votes(name string) bool {
	return slices.ContainsFunc(n.servers(), func(s raft.Server) bool { return string(s.ID) == name && s.Suffrage == raft.Voter })
}
