package lab_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"primespark/shared/task"
	"primespark/shared/wire"
)

// A ledger is what clients were told: the only truth in a test of what must be
// there afterwards.
type ledger struct {
	begun time.Time

	mu        sync.Mutex
	submitted map[int]*account // by number; acknowledged or not
	byID      map[string]*account
	nodes     map[string]string // state of a node by its last acknowledged change; "" if the newest one is unknown
	acks      []ack             // of submissions, in order
	asked     int               // submissions, each counted once
	turns     int               // how often nodes was changed
}

// An account is what is known of one task.
type account struct {
	number int
	ids    []string     // that were acknowledged; more than one is a violation
	done   []task.Lease // whose completion was acknowledged; more than one is a violation
}

// An ack is when an acknowledged call began and ended.
type ack struct{ from, to time.Time }

func newLedger() *ledger {
	return &ledger{begun: time.Now(), submitted: map[int]*account{}, byID: map[string]*account{}, nodes: map[string]string{}}
}

// mark is a deadline that only the task of that number has: a mark that the
// coordinators keep.
func (l *ledger) mark(number int) time.Time {
	return l.begun.Add(24*time.Hour + time.Duration(number)*time.Millisecond).UTC().Truncate(time.Millisecond)
}

// next begins a submission.
func (l *ledger) next() *account {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	a := &account{number: l.asked}
	l.submitted[a.number] = a
	return a
}

func (l *ledger) accepted(a *account, id string, from time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks = append(l.acks, ack{from, time.Now()})
	if !slices.Contains(a.ids, id) {
		a.ids = append(a.ids, id)
		l.byID[id] = a
	}
}

func (l *ledger) completed(id string, lease task.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.byID[id]
	if a == nil { // its submission was never acknowledged, and yet it is there
		a = &account{}
		l.byID[id] = a
	}
	if !slices.Contains(a.done, lease) {
		a.done = append(a.done, lease)
	}
}

// node takes down what became of a change of a node: its state, or "" if that is
// not known.
func (l *ledger) node(name, state string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[name] = state
	l.turns++
}

// count is how many submissions were acknowledged.
func (l *ledger) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// first is the time from at to the first acknowledged submission that was begun,
// or sent again, after it; false if there is none yet.
func (l *ledger) first(at time.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.acks {
		if a.from.After(at) {
			return a.to.Sub(at), true
		}
	}
	return 0, false
}

// available is the share of the seconds since the ledger was begun in which at
// least one submission was acknowledged.
func (l *ledger) available(until time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	seconds := map[int]bool{}
	for _, a := range l.acks {
		if a.to.Before(until) {
			seconds[int(a.to.Sub(l.begun).Seconds())] = true
		}
	}
	return float64(len(seconds)) / float64(1+int(until.Sub(l.begun).Seconds()))
}

// copy is the ledger as it is now.
func (l *ledger) copy() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &ledger{begun: l.begun, submitted: map[int]*account{}, byID: map[string]*account{}, nodes: maps.Clone(l.nodes), turns: l.turns}
	clones := map[*account]*account{}
	clone := func(a *account) *account {
		if clones[a] == nil {
			clones[a] = &account{a.number, slices.Clone(a.ids), slices.Clone(a.done)}
		}
		return clones[a]
	}
	for k, a := range l.submitted {
		c.submitted[k] = clone(a)
	}
	for k, a := range l.byID {
		c.byID[k] = clone(a)
	}
	return c
}

// check compares what is in the ledger now with what a coordinator says after that.
func (l *ledger) check(ctx context.Context, name string, c *wire.Client) error {
	before := l.copy()
	there, err := all(ctx, c)
	if err != nil {
		return fmt.Errorf("read the tasks from %s: %w", name, err)
	}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return fmt.Errorf("read the nodes from %s: %w", name, err)
	}
	if after := l.copy(); after.turns != before.turns {
		nodes = nil // one was being changed just then
	}
	if err := before.holds(there, nodes); err != nil {
		return fmt.Errorf("by the word of %s: %w", name, err)
	}
	return nil
}

// holds checks that everything is there, and nothing twice.
func (l *ledger) holds(there map[string]task.Task, nodes []wire.NodeBody) error {
	marked := map[time.Time][]string{}
	for id, t := range there {
		marked[t.Deadline] = append(marked[t.Deadline], id)
	}
	for _, a := range l.submitted {
		ids := marked[l.mark(a.number)]
		switch {
		case len(a.ids) > 1:
			return broken("one submission, sent again with its key, made the tasks %q", a.ids)
		case len(ids) > 1:
			return broken("submission %d is there as %q", a.number, ids)
		case len(a.ids) == 1 && len(ids) == 0:
			return broken("the acknowledged task %s is lost", a.ids[0])
		case len(a.ids) == 1 && a.ids[0] != ids[0]:
			return broken("the acknowledged task %s is %s now", a.ids[0], ids[0])
		}
	}
	for id, a := range l.byID {
		switch t := there[id]; {
		case len(a.done) > 1:
			return broken("the task %s was done twice: by the leases %v", id, a.done)
		case len(a.done) == 1 && (t.State != task.Done || t.Lease != a.done[0]):
			return broken("the task %s was acknowledged as done by lease %v, and is %s by %v", id, a.done[0], t.State, t.Lease)
		}
	}
	for _, n := range nodes {
		if want := l.nodes[n.Name]; want != "" && want != n.State {
			return broken("the node %s was acknowledged as %s, and is %s", n.Name, want, n.State)
		}
	}
	return nil
}

// all reads all tasks.
func all(ctx context.Context, c *wire.Client) (map[string]task.Task, error) {
	tasks := map[string]task.Task{}
	for after := ""; ; {
		b, err := c.Tasks(ctx, "", after, 1000)
		if err != nil {
			return nil, err
		}
		for _, t := range b.Tasks {
			tasks[t.ID] = t
		}
		if after = b.Next; after == "" {
			return tasks, nil
		}
	}
}

// checkAll has every coordinator's word compared.
func (l *ledger) checkAll(ctx context.Context, lab *lab) error {
	for _, n := range lab.Coordinators {
		if err := l.check(ctx, n.Name, lab.Client(n)); err != nil {
			return err
		}
	}
	return nil
}

// settled waits until every task of the load is done.
func (l *ledger) settled(ctx context.Context, limit time.Duration, c *wire.Client) error {
	return promised(ctx, limit, "all tasks to be done", func(ctx context.Context) error {
		tasks, err := all(ctx, c)
		if err != nil {
			return err
		}
		for id, t := range tasks {
			switch {
			case t.Kind != task.Noop: // a history's
			case t.State == task.Dead:
				return broken("the task %s is dead: %s", id, t.Error)
			case !t.State.Final():
				return fmt.Errorf("%s is %s after %d attempts (%s)", id, t.State, t.Attempts, t.Error)
			}
		}
		return nil
	})
}
