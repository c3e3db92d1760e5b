package consensus

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/problem"
)

// departTime is how long the others are asked whether they are there.
const departTime = time.Second

// errGone is the answer of those who do not answer.
var errGone = errors.New("it does not answer, or follows nobody")

// Depart prepares that a member leaves the group for good, and refuses that if
// those who stay could not decide any more: too few of them answer. force leaves
// that to the caller. One that leads hands over first, so that nothing waits for an
// election. It changes no membership: to revoke the coordinator is what comes next.
func (n *Node) Depart(ctx context.Context, name string, force bool) error {
	voters := slices.DeleteFunc(slices.Clone(n.servers()), func(s raft.Server) bool { return s.Suffrage != raft.Voter })
	if !named(voters, name) {
		return nil
	}
	rest := slices.DeleteFunc(voters, func(s raft.Server) bool { return string(s.ID) == name })
	if !slices.ContainsFunc(rest, func(s raft.Server) bool { return !n.isWitness(string(s.ID)) }) {
		return problem.New(problem.Conflict, "Have another coordinator join first, and wait until it votes.", "The node %s is the only coordinator that can lead.", name)
	}
	here, away := n.present(ctx, rest)
	if err := stays(name, here, away); err != nil && !force {
		return err
	}
	return n.relieve(ctx, name)
}

// stays reports why those who stay could not decide without the one who goes.
func stays(name string, here, away []string) error {
	total := len(here) + len(away)
	if need := total/2 + 1; len(here) < need {
		return &problem.Error{
			Code: problem.Conflict,
			Detail: fmt.Sprintf("Without %s, only %d of %d coordinators that vote would answer (not %s), and it takes %d: nothing could be decided any more, not even to undo this.",
				name, len(here), total, strings.Join(away, ", "), need),
			Remedy: fmt.Sprintf("Start %s first, or remove that one, or have another coordinator join. With --force (force=1) %s goes all the same; then the group is without a quorum until %s is back, or until prime-spark-coordinator recover --from-one.",
				strings.Join(away, " and "), name, strings.Join(away, " or ")),
		}
	}
	return nil
}

// present asks voters whether they take part, each of them itself: they answer,
// remember, and follow the leader that this node follows.
func (n *Node) present(ctx context.Context, voters []raft.Server) (here, away []string) {
	ctx, cancel := context.WithTimeout(ctx, departTime)
	defer cancel()
	leader := n.leader.Get().name
	answers := make([]error, len(voters))
	var asked sync.WaitGroup
	for i, s := range voters {
		asked.Go(func() {
			status, err := n.Status(), error(nil)
			if name := string(s.ID); name != n.name {
				status, err = n.StatusOf(ctx, name)
			}
			if err == nil && (status.Fresh || status.Leader == "" || status.Leader != leader) {
				err = errGone
			}
			answers[i] = err
		})
	}
	asked.Wait()
	for i, s := range voters {
		if answers[i] == nil {
			here = append(here, string(s.ID))
		} else {
			away = append(away, string(s.ID))
		}
	}
	return here, away
}

// relieve has another coordinator lead than the one of that name, and returns
// once this node knows of it.
func (n *Node) relieve(ctx context.Context, name string) (err error) {
	now := n.leader.Get()
	if now.name != name {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, n.profile.hold())
	defer cancel()
	if name == n.name {
		err = n.TransferLeadership(ctx)
	} else {
		var r reply
		if err = n.call(ctx, http.MethodPost, name, pathResign, nil, &r); err == nil {
			err = r.err()
		}
	}
	if err == nil {
		_, err = n.leader.Until(ctx, func(l leadership) bool { return l.name != "" && l.name != name })
	}
	if err != nil {
		return &problem.Error{
			Code: problem.NoLeader, Err: err, RetryAfter: time.Second,
			Detail: fmt.Sprintf("The coordinator %s leads, and no other one took over, so it was not removed.", name),
			Remedy: "Have another coordinator that is no witness run and catch up, then try again.",
		}
	}
	return nil
}

// serveResign hands the leadership over because another coordinator asks for it.
func (n *Node) serveResign(w http.ResponseWriter, r *http.Request) {
	n.answer(w, replyTo(nil, 0, n.TransferLeadership(r.Context())))
}

// Shunned reports whether those other members that can be reached refuse this
// one's certificate: it has been removed, and the entry that says so can no longer
// get here.
func (n *Node) Shunned(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, departTime)
	defer cancel()
	shut := 0
	for _, s := range n.servers() {
		if string(s.ID) == n.name {
			continue
		}
		_, err := n.StatusOf(ctx, string(s.ID))
		switch {
		case err == nil:
			return false
		case refusedBy(err):
			shut++
		}
	}
	return shut > 0
}
