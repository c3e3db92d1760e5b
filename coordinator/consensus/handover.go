package consensus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// errNoHeir tells that there is nobody to hand the leadership to.
var errNoHeir = errors.New("no other coordinator that can lead answers")

// Heirs are the names of the voters that can lead: all but witnesses.
func (n *Node) Heirs() (names []string) {
	for _, s := range n.servers() {
		if s.Suffrage == raft.Voter && !n.isWitness(string(s.ID)) {
			names = append(names, string(s.ID))
		}
	}
	return names
}

// heirTime is how long others are asked whether they could lead. Nothing waits
// meanwhile.
const heirTime = 150 * time.Millisecond

// TransferLeadership has another voter lead: of those named the first that can,
// or else of the others the one that has most. It returns nil once this node leads
// no more, and does nothing on one that does not lead. Writes wait meanwhile, some
// milliseconds as a rule.
func (n *Node) TransferLeadership(ctx context.Context, rather ...string) error {
	if n.raft.State() != raft.Leader {
		return nil
	}
	err := errNoHeir
	for _, heir := range n.heirs(ctx, rather) {
		if err = wait(ctx, n.raft.LeadershipTransferToServer(heir.ID, heir.Address)); err == nil {
			return nil
		}
		if ctx.Err() != nil || n.raft.State() != raft.Leader {
			break
		}
	}
	if n.raft.State() == raft.Leader {
		return fmt.Errorf("hand the leadership over: %w", err)
	}
	return nil
}

// heirs are the voters that could lead, best first: they answer, and are neither
// fresh nor a witness. One that would rather not comes last.
func (n *Node) heirs(ctx context.Context, rather []string) []raft.Server {
	ctx, cancel := context.WithTimeout(ctx, heirTime)
	defer cancel()
	all := n.servers()
	found := make([]Status, len(all))
	var asked sync.WaitGroup
	for i, s := range all {
		if s.Suffrage != raft.Voter || string(s.ID) == n.name || n.isWitness(string(s.ID)) {
			continue
		}
		asked.Go(func() {
			if status, err := n.StatusOf(ctx, string(s.ID)); err == nil && !status.Fresh && !status.Witness {
				found[i] = status
			}
		})
	}
	asked.Wait()
	found = slices.DeleteFunc(found, func(s Status) bool { return s.Name == "" })
	rank := func(s Status) int {
		if at := slices.Index(rather, s.Name); at >= 0 {
			return at
		}
		return len(rather)
	}
	slices.SortStableFunc(found, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Stance, b.Stance), cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Last, a.Last))
	})
	var heirs []raft.Server
	for _, s := range found {
		i := slices.IndexFunc(all, func(server raft.Server) bool { return string(server.ID) == s.Name })
		heirs = append(heirs, all[i])
	}
	return heirs
}
