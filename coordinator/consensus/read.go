package consensus

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/sabotage"
)

// Read returns a state that contains everything that was acknowledged before
// Read was called, by whichever coordinator. It costs the leader one round of
// heartbeats, and nobody a write to the disk. Without a leader it waits and
// fails as Propose does. Calls that come while one is under way share the next
// round: a thousand agents that poll cost the leader no more than a few do.
func (n *Node) Read(ctx context.Context) (fsm.State, error) {
	if sabotage.StaleReads {
		s, _ := n.fsm.State()
		return s, nil
	}
	var index uint64
	err := n.withLeader(ctx, func(ctx context.Context, _ string) (err error) {
		if index, err = n.reads.ask(ctx, n.nextIndex); err != nil && ctx.Err() != nil {
			return again(ctx, err)
		}
		return err
	})
	if err != nil {
		return fsm.State{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	s, err := n.fsm.Watch().Until(ctx, func(s fsm.State) bool { return s.Index >= index })
	if err != nil {
		return fsm.State{}, &problem.Error{
			Code: problem.NotReady, Err: err, RetryAfter: time.Second,
			Detail: fmt.Sprintf("The coordinator %s is still catching up: it knows entry %d, the leader is at %d.", n.name, s.Index, index),
			Remedy: "Try again in a second, or ask another coordinator.",
		}
	}
	return s, nil
}

// readWait bounds how long a read waits until this node has caught up.
const readWait = 10 * time.Second

// nextIndex finds an index to read at, by whoever leads now. Where that one does
// not any more meanwhile, or this node is closed, all who wait may try again.
func (n *Node) nextIndex() (index uint64, err error) {
	leader := n.leader.Get().name
	if leader == "" {
		return 0, undone{errMoved}
	}
	ctx, end := n.while(n.end, leader)
	defer end()
	if leader == n.name {
		index, err = n.readIndex(ctx)
	} else {
		index, err = n.askIndex(ctx, leader)
	}
	if err != nil && ctx.Err() != nil {
		return 0, undone{errMoved}
	}
	return index, err
}

// readIndex returns an index that a state must have reached to contain all that
// was acknowledged before the call, if this node leads.
//
// What this leader acknowledged, it has applied. What its predecessors did is in
// its log, and applied once a barrier of its own term has passed. And that
// nobody else has acknowledged anything since is what VerifyLeader asks a
// majority, provided that the term is still that of the barrier, and that the answers
// are no older than the call.
func (n *Node) readIndex(ctx context.Context) (uint64, error) {
	if n.witness {
		return 0, undone{errWitness}
	}
	term := n.raft.CurrentTerm()
	if n.barrier.Load() != term {
		if err := wait(ctx, n.raft.Barrier(n.profile.hold())); err != nil {
			return 0, again(ctx, err)
		}
		if n.raft.CurrentTerm() != term {
			return 0, undone{fmt.Errorf("the term changed from %d", term)}
		}
		n.barrier.Store(term)
	}
	if err := n.verify(ctx, term); err != nil {
		return 0, again(ctx, err)
	}
	if now := n.raft.CurrentTerm(); now != term {
		return 0, undone{fmt.Errorf("the term changed from %d to %d", term, now)}
	}
	s, _ := n.fsm.State()
	return s.Index, nil
}

// verify waits until a majority has confirmed that this node leads in a term, by
// answers to what was sent since.
func (n *Node) verify(ctx context.Context, term uint64) error {
	began := n.confirms.moment()
	for {
		if err := wait(ctx, n.raft.VerifyLeader()); err != nil {
			return err
		}
		group := n.raft.GetConfiguration()
		if err := wait(ctx, group); err != nil {
			return err
		}
		if n.confirms.since(began, term, raft.ServerID(n.name), group.Configuration()) {
			return nil
		}
		// An answer that was on its way made up for one of them: none is by now.
	}
}

// again makes of any failure one that may be tried again, since reading changes
// nothing, unless the caller's time is up.
func again(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &problem.Error{
			Code: problem.Deadline, Err: err, Detail: "No leader confirmed the read in the time that was given.",
			Remedy: "Try again, or ask for a stale read.",
		}
	}
	return undone{err}
}
