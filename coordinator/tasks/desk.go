// Package tasks is where a coordinator takes what clients and agents want of the
// task queue: it gathers what comes at the same time into one entry of the log,
// and lets those wait who ask for work while there is none.
//
// The rules of the queue are in fsm; here is only who asks when. All of it works
// on any coordinator: the commands go to the leader by themselves, and so do
// renewals, which touch the leader's memory alone.
package tasks

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// Group is what a Desk needs of the raft node.
type Group interface {
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
	// Read returns a state that holds all that was acknowledged before.
	Read(ctx context.Context) (fsm.State, error)
	State() (fsm.State, <-chan struct{})
	// Ask has the leader renew a lease, in its memory.
	Ask(ctx context.Context, body []byte) error
}

// A Desk serves the task queue. Its Run must be running for those who wait.
type Desk struct {
	// Gone reports whether a node is held for dead; nil if nobody knows. Set it
	// before the first call.
	Gone func(node string) bool

	group Group
	sizes prometheus.Histogram

	mu      sync.Mutex
	pending []*request        // to go into the next entry, oldest first
	flights int               // entries on their way
	waiters []*waiter         // for work, longest first
	lending map[*request]bool // for leases, pending or on their way
	givenUp map[string]string // by node: the grant of the last lease call that it gave up
}

// A request is an operation that waits for its answer.
type request struct {
	op     fsm.TaskOp
	weight int // bytes of the log that it may take, about
	done   chan struct{}
	index  uint64 // of its entry
	answer fsm.TaskAnswer
	err    error
}

// Bounds of one entry, well below what the log takes. Two entries are on their
// way at a time: the next one fills while they are written.
const (
	maxOps     = 512
	maxWeight  = 1 << 20
	maxFlights = 2
	maxPending = 4096
	maxYields  = 16 // that an entry waits for more, while others have work
	// patience bounds how long an entry waits for the group; callers wait no longer
	// than their own contexts.
	patience = 10 * time.Second
	// fullRetry is when to come back to a queue that is full.
	fullRetry = 5 * time.Second
)

// New returns a Desk.
func New(g Group, metrics prometheus.Registerer) *Desk {
	d := &Desk{group: g, lending: map[*request]bool{}, givenUp: map[string]string{}, sizes: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "primespark_task_batch_operations", Help: "Operations on tasks that shared one entry of the log.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 10),
	})}
	metrics.MustRegister(d.sizes)
	for _, s := range task.States {
		metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "primespark_tasks", Help: "Tasks by state, as this coordinator knows.", ConstLabels: prometheus.Labels{"state": string(s)},
		}, func() float64 { now, _ := g.State(); return float64(now.Tasks.Count(s)) }))
	}
	return d
}

// Do has the group carry out one operation, and returns the task that it was
// about as this coordinator knows it after that, however it has moved on since.
func (d *Desk) Do(ctx context.Context, op fsm.TaskOp) (task.Task, error) {
	r, err := d.do(ctx, op)
	if err != nil {
		return task.Task{}, err
	}
	s, err := d.caughtUp(ctx, r.index)
	if err != nil {
		return task.Task{}, err
	}
	t, ok := s.Tasks.Get(r.answer.ID)
	if !ok {
		return t, fsm.NoTask(r.answer.ID)
	}
	return t, nil
}

// Renew keeps a lease, in the leader's memory.
func (d *Desk) Renew(ctx context.Context, node, id string, lease task.Lease) error {
	body, err := json.Marshal(struct {
		Node  string     `json:"node"`
		ID    string     `json:"id"`
		Lease task.Lease `json:"lease"`
	}{node, id, lease})
	if err != nil {
		return fmt.Errorf("encode a renewal: %w", err)
	}
	return d.group.Ask(ctx, body)
}

// do puts an operation into one of the next entries and waits for its answer.
func (d *Desk) do(ctx context.Context, op fsm.TaskOp) (*request, error) {
	r := &request{op: op, weight: weigh(op), done: make(chan struct{})}
	d.mu.Lock()
	if len(d.pending) >= maxPending {
		d.mu.Unlock()
		return nil, busy("%d operations on tasks wait for the log.", maxPending)
	}
	if err := d.lend(r); err != nil {
		d.mu.Unlock()
		return nil, err
	}
	d.pending = append(d.pending, r)
	if d.flights < maxFlights {
		d.flights++
		go d.fly() // waited for by those whose operations it carries; ends when there are none
	}
	d.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		return nil, unconfirmed(ctx)
	}
	return r, r.err
}

func unconfirmed(ctx context.Context) error {
	return &problem.Error{
		Code: problem.Deadline, Err: ctx.Err(), Detail: "The change was not confirmed in the time that was given.",
		Remedy: "Look whether it was made, or send the same request again.",
	}
}

func busy(detail string, args ...any) error {
	return problem.New(problem.Busy, "Try again in some seconds.", detail, args...)
}

// weigh is about what an operation takes in the log; JSON may make six bytes of
// one in a result.
func weigh(op fsm.TaskOp) int {
	n := 512
	switch {
	case op.Submit != nil:
		n += len(op.Submit.Spec.Input)
	case op.Complete != nil:
		n += 6 * len(op.Complete.Result)
	case op.Fail != nil:
		n += 6 * len(op.Fail.Error)
	case op.Lease != nil:
		for _, m := range op.Lease.Models {
			n += len(m)
		}
	}
	return n
}

// fly carries entries until nothing is pending.
func (d *Desk) fly() {
	for last := 0; ; {
		// Those whose answers came with the last entry often have more to ask at once.
		// One that left before they have said so would take the few who were quick.
		for range min(last, maxYields) {
			runtime.Gosched()
		}
		d.mu.Lock()
		n, weight := 0, 0
		for n < min(len(d.pending), maxOps) && (n == 0 || weight+d.pending[n].weight <= maxWeight) {
			weight += d.pending[n].weight
			n++
		}
		if n == 0 {
			d.flights--
			d.pending = nil
			d.mu.Unlock()
			return
		}
		batch := d.pending[:n:n]
		d.pending = d.pending[n:]
		d.mu.Unlock()
		d.sizes.Observe(float64(n))
		d.carry(batch)
		d.lent(batch)
		last = n
	}
}

// carry proposes one entry and tells its answers.
func (d *Desk) carry(batch []*request) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ops := make([]fsm.TaskOp, len(batch))
	for i, r := range batch {
		ops[i] = r.op
	}
	result, err := d.propose(ctx, ops)
	for i, r := range batch {
		switch {
		case err != nil:
			r.err = err
		case result.Answers[i].Problem != nil:
			p := result.Answers[i].Problem
			if p.Code == problem.Busy {
				p.RetryAfter = fullRetry // a pause does not travel in JSON
			}
			r.err = p
		default:
			r.index, r.answer = result.Index, result.Answers[i]
		}
		close(r.done)
	}
}

func (d *Desk) propose(ctx context.Context, ops []fsm.TaskOp) (r fsm.TaskResult, err error) {
	b, err := d.group.Propose(ctx, "coordinator", fsm.TaskBatch{Ops: ops})
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("decode the result of a batch of tasks: %w", err)
	}
	if len(r.Answers) != len(ops) {
		return r, fmt.Errorf("a batch of %d operations has %d answers", len(ops), len(r.Answers))
	}
	return r, nil
}

// caughtUp waits until this coordinator has applied the entry of that index.
func (d *Desk) caughtUp(ctx context.Context, index uint64) (fsm.State, error) {
	for {
		s, changed := d.group.State()
		if s.Index >= index {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s, &problem.Error{
				Code: problem.NotReady, Err: ctx.Err(), RetryAfter: time.Second,
				Detail: "The change is made, but this coordinator has not caught up with it.", Remedy: "Ask again, or another coordinator.",
			}
		}
	}
}
