package tasks

import (
	"context"
	"slices"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// A waiter asks for work while there is none.
type waiter struct {
	kinds  []task.Kind
	models []string
	woken  chan struct{} // closes when there is some
}

func (*Desk) String() string { return "task desk" }

// maxWaiters bounds those who wait for work: one call each of 1024 agents, twice.
const maxWaiters = 2048

// Run wakes those who wait for work until ctx ends.
func (d *Desk) Run(ctx context.Context) error {
	for {
		s, changed := d.group.State()
		d.wake(s)
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// wake wakes as many of those who wait, longest first, as there are ready tasks,
// and not all of them for one.
func (d *Desk) wake(s fsm.State) {
	d.mu.Lock()
	defer d.mu.Unlock()
	left := s.Tasks.Count(task.Ready)
	if left == 0 {
		return
	}
	d.waiters = slices.DeleteFunc(d.waiters, func(w *waiter) bool {
		if left == 0 || !s.Tasks.Waiting(w.kinds, w.models) {
			return false
		}
		left--
		close(w.woken)
		return true
	})
}

// enter adds one to those who wait; it is woken at once if there is work.
func (d *Desk) enter(kinds []task.Kind, models []string) (*waiter, error) {
	w := &waiter{kinds, models, make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	// The state is read under the lock: a later one wakes w by way of Run.
	if s, _ := d.group.State(); s.Tasks.Waiting(kinds, models) {
		close(w.woken)
		return w, nil
	}
	if len(d.waiters) >= maxWaiters {
		return nil, busy("%d calls wait for work on this coordinator.", maxWaiters)
	}
	d.waiters = append(d.waiters, w)
	return w, nil
}

// leave takes w out of those who wait, and reports whether it was woken before.
func (d *Desk) leave(w *waiter) (woken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.Index(d.waiters, w)
	if i >= 0 {
		d.waiters = slices.Delete(d.waiters, i, i+1)
	}
	return i < 0
}

// pass wakes another in the place of one who was woken and took nothing.
func (d *Desk) pass() {
	s, _ := d.group.State()
	d.wake(s)
}

// Lease gives a node tasks, and waits for the first if there is none. What is
// returned is held by the node; nothing means that nothing came in that time. As many
// wait here as there are agents, so no state is held meanwhile, which is large, and
// would be on each of their stacks.
func (d *Desk) Lease(ctx context.Context, l fsm.TaskLease, wait time.Duration) ([]task.Task, error) {
	if held, err := d.granted(ctx, l); err != nil || held {
		if err != nil {
			return nil, err
		}
		return d.take(ctx, l) // the same call again, whose answer got lost
	}
	ctx, cancel := context.WithTimeout(ctx, wait+patience)
	defer cancel()
	end := time.NewTimer(wait)
	defer end.Stop()
	began := time.Now()
	for {
		draining, changed, err := d.standing(l.Node)
		if err != nil {
			return nil, err
		}
		if draining { // it gets nothing, until that is over
			select {
			case <-changed:
				continue
			case <-end.C:
				return nil, nil
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		w, err := d.enter(l.Kinds, l.Models)
		if err != nil {
			return nil, err
		}
		select {
		case <-w.woken:
		case <-end.C:
			if !d.leave(w) {
				return nil, nil
			}
			wait = 0 // there was work in the last moment
		case <-ctx.Done():
			if d.leave(w) {
				d.pass()
			}
			return nil, context.Cause(ctx)
		}
		if d.gone(l.Node, began) {
			d.pass()
			return nil, problem.New(problem.NotReady, "Ask again.", "The node %.64q is held for dead.", l.Node)
		}
		got, err := d.take(ctx, l)
		if err != nil {
			d.pass()
		}
		if err != nil || len(got) > 0 || wait == 0 {
			return got, err // a long poll that got nothing after all goes on
		}
	}
}

// granted reports whether the same call was given something already.
func (d *Desk) granted(ctx context.Context, l fsm.TaskLease) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s, err := d.group.Read(ctx)
	return err == nil && len(s.Tasks.Granted(l.Node, l.Grant)) > 0, err
}

// standing refuses a node that does not take part, and reports whether it is being
// drained; changed closes at the next state.
func (d *Desk) standing(node string) (draining bool, changed <-chan struct{}, err error) {
	s, changed := d.group.State()
	n := s.Nodes[node]
	if !n.Active() {
		return false, nil, problem.New(problem.Forbidden, "Have it approved, or join it again.", "The node %.64q does not take part.", node)
	}
	return n.State == fsm.Draining, changed, nil
}

// sure is how long a node has to have waited to be given nothing when it is held
// for dead: one that asks now is not, whatever was thought of it before.
const sure = time.Second

// gone reports whether whoever has waited since that time is dead by now. A node
// that lost its power leaves its call behind, and a task would go into the void.
func (d *Desk) gone(node string, began time.Time) bool {
	return d.Gone != nil && time.Since(began) >= sure && d.Gone(node)
}

// take leases what there is.
func (d *Desk) take(ctx context.Context, l fsm.TaskLease) ([]task.Task, error) {
	r, err := d.do(ctx, fsm.TaskOp{Lease: &l})
	if err != nil {
		return nil, err
	}
	s, err := d.caughtUp(ctx, r.index)
	if err != nil {
		return nil, err
	}
	var got []task.Task
	for _, g := range r.answer.Grants {
		// One that was cancelled in this moment is not worth beginning.
		if t, ok := s.Tasks.Get(g.ID); ok && t.State == task.Leased && t.Lease == g.Lease {
			got = append(got, t)
		}
	}
	return got, nil
}
