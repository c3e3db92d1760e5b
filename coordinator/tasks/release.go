package tasks

import (
	"context"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
)

// Release gives back what a lease call of a node was given, for nobody waits for its
// answer any more, and returns how many tasks that were; it was no attempt at them. A
// call that still waits here, or is yet to come, is given nothing.
func (d *Desk) Release(ctx context.Context, node, grant string) (int, error) {
	for _, r := range d.giveUp(node, grant) {
		select {
		case <-r.done: // whatever came of it, the state shows
		case <-ctx.Done():
			return 0, unconfirmed(ctx)
		}
	}
	s, err := d.group.Read(ctx)
	if err != nil {
		return 0, err
	}
	released := 0
	for _, t := range s.Tasks.Granted(node, grant) {
		_, err := d.do(ctx, fsm.TaskOp{Fail: &fsm.TaskFail{ID: t.ID, Node: node, Lease: t.Lease, Release: true}})
		switch {
		case err == nil:
			released++
		case !problem.Is(err, problem.StaleLease): // it has ended in another way meanwhile
			return released, err
		}
	}
	return released, nil
}

// lend notes a request for a lease, unless its call has been given up. It wants the
// lock held.
func (d *Desk) lend(r *request) error {
	l := r.op.Lease
	if l == nil {
		return nil
	}
	if grant, any := d.givenUp[l.Node]; any && grant == l.Grant {
		return problem.New(problem.Conflict, "Ask anew.", "The call was given up by its node.")
	}
	d.lending[r] = true
	return nil
}

// giveUp has no lease be asked for by this grant from now on, and returns the
// requests for some that are on their way.
func (d *Desk) giveUp(node, grant string) (underway []*request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.givenUp[node] = grant
	for r := range d.lending {
		if r.op.Lease.Node == node && r.op.Lease.Grant == grant {
			underway = append(underway, r)
		}
	}
	return underway
}

// lent notes that requests have their answers.
func (d *Desk) lent(batch []*request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range batch {
		delete(d.lending, r)
	}
}
