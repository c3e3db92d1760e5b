package consensus

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/raft"
)

// A Stance is how far a node takes part in leading the group. Raft knows
// followers and leaders only: it keeps a leader whose disk hangs, since its
// heartbeats touch no disk (hashicorp/raft#503), and makes a node with a full
// disk leader again and again, since its log is as good as the others'.
type Stance int

// The stances. The zero one is that of a node with nothing wrong.
const (
	// Willing stands for election and leads.
	Willing Stance = iota
	// Reluctant follows and votes, hands the leadership over, and stands only
	// when the group has been without a leader for so long that nobody else will.
	Reluctant
	// Silent is to the others as if it were gone: it sends them nothing as a
	// leader, and neither votes nor stands. It does not take itself for the leader.
	Silent
)

func (s Stance) String() string { return [...]string{"willing", "reluctant", "silent"}[s] }

const (
	// lastResort is how long a group has no leader before a reluctant node
	// stands: ten elections of the profile lan, which a willing one wins in two.
	lastResort = 5 * time.Second
	// handOverRest is how long a reluctant leader whom nobody relieved waits until
	// it tries again: each try holds writes up for an election's time.
	handOverRest = 30 * time.Second
)

// errSilent is the answer to raft when it would speak as the leader, and
// errReluctant to those who would have this node lead.
var (
	errSilent    = errors.New("this coordinator keeps silent until its disk answers")
	errReluctant = errors.New("this coordinator would rather not lead")
)

// Take tells the node how far to take part from now on; it does not wait.
func (n *Node) Take(s Stance) {
	if was := n.stance.Get(); was != s {
		n.log.Info("takes part in another way", "stance", s.String(), "was", was.String())
		n.stance.Store(s)
	}
}

// stands reports whether this node may ask for votes.
func (n *Node) stands() error {
	switch s := n.stance.Get(); {
	case n.fresh.is.Load():
		return errFresh
	case s == Silent:
		return errSilent
	case n.witness:
		return n.needed()
	case s == Reluctant:
		if called := n.called.Load(); called != nil && time.Since(*called) < 2*n.profile.Election {
			return nil
		}
		if now := n.leader.Get(); now.name != "" || time.Since(now.since) < lastResort {
			return errReluctant
		}
	}
	return nil
}

// leads reports whether raft takes this node for the leader, and it is not
// silent: a silent one is about to be replaced, or is already.
func (n *Node) leads() bool { return n.raft.State() == raft.Leader && n.stance.Get() != Silent }

// leaderNow is who leads, as raft on this node knows; "" for nobody.
func (n *Node) leaderNow() string {
	_, id := n.raft.LeaderWithID()
	if string(id) == n.name && n.stance.Get() == Silent {
		return ""
	}
	return string(id)
}

// yield hands the leadership over whenever this node leads and would rather not.
func (n *Node) yield() {
	for {
		stance, changed := n.stance.Load()
		leads, moved := n.leading.Load()
		var again <-chan time.Time
		if (stance == Reluctant || n.witness) && leads {
			rest := handOverRest
			if n.witness {
				rest = witnessRest
			}
			ctx, cancel := context.WithTimeout(context.Background(), 4*n.profile.Election)
			err := n.TransferLeadership(ctx)
			cancel()
			if err != nil {
				n.log.Warn("leadership not handed over, leading on", "err", err, "again_s", rest.Seconds())
			}
			again = time.After(rest)
		}
		select {
		case <-n.stop:
			return
		case <-changed:
		case <-moved:
		case <-again:
		}
	}
}
