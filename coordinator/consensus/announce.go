package consensus

import (
	"context"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
)

// Announce has the group agree on where this coordinator is reached and which
// version it runs. Its errors are those of Propose.
//
// A coordinator that came back at another address hears of no leader, since none
// can reach it there; raft does not let it find one out either. So it asks the
// members by itself, at the addresses that it knows of them.
func (n *Node) Announce(ctx context.Context, c fsm.NodeAnnounce) error {
	actor := "coordinator:" + n.name
	_, err := n.Propose(ctx, actor, c)
	if !problem.Is(err, problem.NoQuorum) && !problem.Is(err, problem.NoLeader) {
		return err
	}
	leader, known := n.leaderByOthers(ctx)
	if !known {
		return err
	}
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return err
	}
	if _, err = n.forward(ctx, leader, data); isUndone(err) {
		return gaveUp(err)
	}
	return err
}

// leaderByOthers asks the members, one by one, who leads.
func (n *Node) leaderByOthers(ctx context.Context) (name string, known bool) {
	for _, s := range n.servers() {
		if string(s.ID) == n.name {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		status, err := n.StatusOf(ctx, string(s.ID))
		cancel()
		if err == nil && status.Leader != "" && status.Leader != n.name {
			return status.Leader, true
		}
	}
	return "", false
}
