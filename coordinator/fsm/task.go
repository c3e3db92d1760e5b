package fsm

import (
	"encoding/json"
	"fmt"

	"primespark/shared/problem"
	"primespark/shared/task"
)

// Bounds of the queue. A full one refuses new tasks with problem.Busy.
const (
	MaxTasks     = 100_000  // that are not final
	MaxTaskBytes = 64 << 20 // of these, with their inputs
	maxEnded     = 100_000  // final ones; the oldest go first, the dead last
	maxEndedByte = 64 << 20 // of these
	maxIdem      = 200_000  // keys
	maxOps       = 1024     // in one batch
	maxTick      = 1000     // timers that one tick attends to
)

// A TaskBatch is operations on tasks that share one entry of the log. They are
// done in order, each one wholly or not at all, whatever becomes of the others.
// Each may be done twice without harm.
type TaskBatch struct {
	Ops []TaskOp `json:"ops"`
}

// Kind is task.batch.
func (TaskBatch) Kind() Kind { return KindTasks }

// A TaskOp is one of the operations: the field that is not nil.
type TaskOp struct {
	Actor string `json:"actor,omitempty"` // who wants it; the entry's if empty
	Key   string `json:"key,omitempty"`   // Idempotency-Key of the call, if it has one
	Hash  string `json:"hash,omitempty"`  // of the call, with a Key

	Submit   *TaskSubmit   `json:"submit,omitempty"`
	Lease    *TaskLease    `json:"lease,omitempty"`
	Complete *TaskComplete `json:"complete,omitempty"`
	Fail     *TaskFail     `json:"fail,omitempty"`
	Cancel   *TaskCancel   `json:"cancel,omitempty"`
	Requeue  *TaskRequeue  `json:"requeue,omitempty"`
	Expire   *TaskExpire   `json:"expire,omitempty"`
	Tick     *TaskTick     `json:"tick,omitempty"`
}

// TaskSubmit adds a task. The spec has been checked by its proposer.
type TaskSubmit struct {
	ID   string    `json:"id"` // task.NewID
	Spec task.Spec `json:"spec"`
	// Bounds of the queue as its proposer is configured; MaxTasks and MaxTaskBytes if 0.
	Most      int `json:"most,omitempty"`
	MostBytes int `json:"most_bytes,omitempty"`
}

// TaskLease gives tasks to a node. The same Grant again gives the same ones, as
// long as the node has any of them.
type TaskLease struct {
	Node   string      `json:"node"`
	Kinds  []task.Kind `json:"kinds"`
	Models []string    `json:"models,omitempty"` // empty: any
	Max    int         `json:"max"`
	Grant  string      `json:"grant"` // random, or the call's Idempotency-Key
}

// TaskComplete ends a task well.
type TaskComplete struct {
	ID        string          `json:"id"`
	Node      string          `json:"node"`
	Lease     task.Lease      `json:"lease"`
	Result    json.RawMessage `json:"result,omitempty"`
	ResultRef string          `json:"result_ref,omitempty"`
	// ResultObject is kept by the coordinators, and there already.
	ResultObject *task.Object `json:"result_object,omitempty"`
}

// TaskFail ends an attempt badly, or gives the task back.
type TaskFail struct {
	ID        string     `json:"id"`
	Node      string     `json:"node"`
	Lease     task.Lease `json:"lease"`
	Error     string     `json:"error,omitempty"`
	Permanent bool       `json:"permanent,omitempty"`
	Release   bool       `json:"release,omitempty"`
	Draw      uint32     `json:"draw"` // random, for the pause
}

// TaskCancel ends a task that is not final.
type TaskCancel struct {
	ID string `json:"id"`
}

// TaskRequeue makes a dead or cancelled task ready again.
type TaskRequeue struct {
	ID string `json:"id"`
	// Bounds of the queue, as in TaskSubmit.
	Most      int `json:"most,omitempty"`
	MostBytes int `json:"most_bytes,omitempty"`
}

// TaskExpire ends attempts whose node fell silent. Of leases that are no longer
// the task's it does nothing.
type TaskExpire struct {
	Leases []Expiry `json:"leases"`
}

// An Expiry is one of its leases.
type Expiry struct {
	ID    string     `json:"id"`
	Lease task.Lease `json:"lease"`
	Draw  uint32     `json:"draw"` // random, for the pause
	Why   string     `json:"why"`
}

// TaskTick does what is due by the entry's time: what was scheduled and what
// waits for another try becomes ready, what is past its deadline dead, and what
// is old is forgotten.
type TaskTick struct{}

// A TaskResult is the answer to a TaskBatch: one TaskAnswer for each operation.
type TaskResult struct {
	Index   uint64       `json:"index"` // of the entry: a state that old has the tasks as the answers say
	Answers []TaskAnswer `json:"answers"`
}

// A TaskAnswer is the answer to one operation.
type TaskAnswer struct {
	ID      string         `json:"id,omitempty"`     // the task that it was about
	Grants  []Grant        `json:"grants,omitempty"` // of a lease
	Problem *problem.Error `json:"problem,omitempty"`
}

// A Grant is a task that was given, and by which lease.
type Grant struct {
	ID    string     `json:"id"`
	Lease task.Lease `json:"lease"`
}

func (c *change) taskBatch(cmd TaskBatch) (any, error) {
	if c.Cluster.Name == "" {
		return nil, nil // apply refuses it
	}
	if len(cmd.Ops) > maxOps {
		return nil, problem.New(problem.TooLarge, "Send fewer.", "The batch has %d operations, at most %d are allowed.", len(cmd.Ops), maxOps)
	}
	proposer := c.actor
	died := mourning{c: c, actor: proposer}
	r := TaskResult{Index: c.Index, Answers: make([]TaskAnswer, len(cmd.Ops))}
	for i, op := range cmd.Ops {
		c.actor = proposer
		if op.Actor != "" {
			c.actor = op.Actor
		}
		a, err := c.once(op, &died)
		if err != nil {
			a = TaskAnswer{Problem: problem.Of(err)}
		}
		r.Answers[i] = a
	}
	c.bury()
	died.tell()
	return r, nil
}

// once does an operation, unless the same call has been carried out before.
func (c *change) once(op TaskOp, died *mourning) (TaskAnswer, error) {
	if op.Key == "" {
		return c.taskOp(op, died)
	}
	idem := Idem{Actor: c.actor, Key: op.Key, Hash: op.Hash, Until: c.at.Add(task.KeyFor)}
	if done, ok, err := c.recall(idem); err != nil || ok {
		return TaskAnswer{ID: done.ID}, err
	}
	a, err := c.taskOp(op, died)
	if err == nil {
		idem.ID = a.ID
		c.Tasks.remember(idem)
	}
	return a, err
}

func (c *change) taskOp(op TaskOp, died *mourning) (TaskAnswer, error) {
	switch {
	case op.Submit != nil:
		return c.submit(*op.Submit)
	case op.Lease != nil:
		return c.lease(*op.Lease, died)
	case op.Complete != nil:
		return c.complete(*op.Complete)
	case op.Fail != nil:
		return c.fail(*op.Fail, died)
	case op.Cancel != nil:
		return c.cancel(*op.Cancel)
	case op.Requeue != nil:
		return c.requeue(*op.Requeue)
	case op.Expire != nil:
		return c.expire(*op.Expire, died)
	case op.Tick != nil:
		return c.tick(died)
	}
	return TaskAnswer{}, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The operation is empty.")
}

// bury forgets final tasks where there are too many.
func (c *change) bury() {
	for c.Tasks.final.count > maxEnded || c.Tasks.final.bytes > maxEndedByte {
		for key := range c.Tasks.ended.From("") {
			c.Tasks.drop(idIn(key))
			break
		}
	}
}

// A mourning gathers the tasks that died in one batch, so that a thousand of
// them make one event.
type mourning struct {
	c     *change
	actor string
	count int
	first task.Task
}

func (m *mourning) add(t task.Task) {
	if m.count == 0 {
		m.first = t
	}
	m.count++
}

func (m *mourning) tell() {
	if m.count == 0 {
		return
	}
	others := ""
	if m.count > 1 {
		others = fmt.Sprintf(" So are %d others.", m.count-1)
	}
	m.c.actor = m.actor
	m.c.taskEvent("task.dead", Warning, m.first.ID, "The task %s is dead after %d attempts: %.200s.%s", m.first.ID, m.first.Attempts, m.first.Error, others)
}

// taskEvent records what an operation did, by a name of its own: a batch does
// many things.
func (c *change) taskEvent(name Kind, severity Severity, id, detail string, args ...any) {
	batch := c.kind
	c.kind = name
	c.event(severity, id, detail, args...)
	c.kind = batch
}
