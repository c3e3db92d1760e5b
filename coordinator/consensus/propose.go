package consensus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// Propose has the group carry out a command that actor wants, and returns its
// result in JSON. When it returns nil the change is durable on a majority.
//
// A refusal is the *problem.Error of the command, whichever coordinator leads.
// Without a leader Propose waits for an election, as long as ctx lasts but no
// longer than about five election timeouts after the leader was lost, and
// returns NoLeader or NoQuorum.
//
// It tries again by itself with the next leader when one is lost on the way. All
// commands of package fsm may be proposed twice, unchanged: what is done already
// is done once. Where the last try leaves open what became of it, the error is
// ErrUnknown as well: the command may or may not be carried out.
func (n *Node) Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return nil, err
	}
	var result json.RawMessage
	err = n.withLeader(ctx, func(ctx context.Context, leader string) (err error) {
		if leader == n.name {
			result, err = n.apply(ctx, data)
		} else {
			result, err = n.forward(ctx, leader, data)
		}
		if errors.Is(err, ErrUnknown) {
			return undone{err} // or done, and then once
		}
		return err
	})
	return result, err
}

// ErrUnknown tells that a command may or may not have been carried out.
var ErrUnknown = errors.New("the outcome is not known")

// undone is an error after which it is certain that nothing has happened, and
// that another try may go better.
type undone struct{ error }

func (u undone) Unwrap() error { return u.error }

func isUndone(err error) bool { _, ok := errors.AsType[undone](err); return ok }

// retryPause is how long one who asked a coordinator that does not lead, or does
// not lead yet, waits before he asks again.
const retryPause = 25 * time.Millisecond

// withLeader runs try with the name of the leader until it returns something
// else than undone, and gives up as Propose says. The context of a try ends when
// its leader does not lead any more: one that was cut off never answers.
func (n *Node) withLeader(ctx context.Context, try func(ctx context.Context, leader string) error) error {
	patience := time.Now().Add(n.profile.hold())
	for {
		leader, err := n.await(ctx)
		if err != nil {
			return err
		}
		term, end := n.while(ctx, leader)
		err = try(term, leader)
		moved := errors.Is(context.Cause(term), errMoved)
		end()
		if err == nil || !isUndone(err) && !moved || ctx.Err() != nil {
			return err
		}
		if moved {
			patience = time.Now().Add(n.profile.hold()) // the next one gets its time
		}
		if time.Now().After(patience) || !run.Sleep(ctx, run.Jitter(retryPause)) {
			return gaveUp(err)
		}
	}
}

// gaveUp words the last failure of those that might have gone better.
func gaveUp(err error) error {
	if errors.Is(err, ErrUnknown) {
		return problem.Of(err)
	}
	return &problem.Error{
		Code: problem.NoLeader, Err: err, RetryAfter: time.Second,
		Detail: "The coordinators are changing their leader.", Remedy: "Try again in a second.",
	}
}

// await returns the leader's name, after waiting for an election if need be.
func (n *Node) await(ctx context.Context) (string, error) {
	now, changed := n.leader.Load()
	if now.name != "" {
		return now.name, nil
	}
	// Whoever comes late gets the rest of the time; long after, none.
	left := time.Until(now.since.Add(n.profile.hold()))
	if left > 0 {
		ctx, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		select {
		case <-changed:
			return n.await(ctx)
		case <-n.stop:
		case <-ctx.Done():
			if time.Until(now.since.Add(n.profile.hold())) > 0 {
				return "", &problem.Error{
					Code: problem.NoLeader, Err: context.Cause(ctx), RetryAfter: time.Second,
					Detail: "The coordinators are electing a leader.", Remedy: "Try again in a second.",
				}
			}
		}
	}
	return "", &problem.Error{
		Code: problem.NoQuorum, RetryAfter: 5 * time.Second,
		Detail: fmt.Sprintf("No majority of the coordinators is reachable from %s.", n.name),
		Remedy: "Start the missing coordinators or mend the network between them; what runs goes on running.",
	}
}

// apply appends an entry on this node, if it leads. One that was not encoded
// here has to be checked first.
func (n *Node) apply(ctx context.Context, data []byte) (json.RawMessage, error) {
	if n.witness {
		return nil, undone{errWitness}
	}
	future := n.raft.Apply(data, n.profile.hold())
	if err := wait(ctx, future); err != nil {
		return nil, outcome(err)
	}
	r, ok := future.Response().(fsm.Result)
	if !ok {
		return nil, fmt.Errorf("raft answered %T to a command", future.Response())
	}
	if r.Err != nil {
		return nil, r.Err
	}
	b, err := json.Marshal(r.Value)
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	return b, nil
}

// wait waits for a future of raft or for ctx. The goroutine outlives the call
// until raft knows the outcome, at the latest when the node is closed.
func wait(ctx context.Context, f raft.Future) error {
	done := make(chan error, 1)
	go func() { done <- f.Error() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// outcome sorts raft's errors by whether the entry may be in the log.
func outcome(err error) error {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return undone{err}
	case errors.Is(err, raft.ErrRaftShutdown):
		return &problem.Error{
			Code: problem.NotReady, Err: fmt.Errorf("%w: %w", ErrUnknown, err),
			Detail: "This coordinator is stopping.", Remedy: "Ask another coordinator.",
		}
	}
	return unknown(err)
}

// unknown is the problem of a command whose outcome is not known.
func unknown(err error) error {
	code := problem.NoLeader
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		code = problem.Deadline
	}
	return &problem.Error{
		Code: code, Err: fmt.Errorf("%w: %w", ErrUnknown, err), RetryAfter: time.Second,
		Detail: "The leader was lost before it could tell whether the change was made.",
		Remedy: "Look whether it was, or send the same request again.",
	}
}
