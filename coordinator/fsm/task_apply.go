package fsm

import (
	"strings"
	"time"

	"primespark/shared/problem"
	"primespark/shared/sabotage"
	"primespark/shared/task"
)

func (c *change) submit(op TaskSubmit) (TaskAnswer, error) {
	if _, there := c.Tasks.Get(op.ID); there {
		return TaskAnswer{ID: op.ID}, nil // ids are random: it is the same call again
	}
	s := op.Spec
	most, mostBytes := bound(op.Most, MaxTasks), bound(op.MostBytes, MaxTaskBytes)
	switch live := c.Tasks.live; {
	case !task.ValidID(op.ID) || !s.Kind.Valid() || s.Priority != nil && (*s.Priority < 0 || *s.Priority > task.MaxPriority) ||
		s.MaxAttempts < 0 || s.MaxAttempts > task.MaxAttempts || len(s.Input) > task.MaxInput || len(s.Model) > 64 ||
		strings.Contains(s.Model, "\x00") || s.NotBefore.Year() > 9000 || s.Deadline.Year() > 9000:
		return TaskAnswer{}, problem.New(problem.Invalid, "Update all coordinators to the same version.", "The task is not valid.")
	case live.count >= most:
		return TaskAnswer{}, full("%d tasks wait or run, and more are not kept.", live.count)
	case live.bytes+len(s.Input) > mostBytes:
		return TaskAnswer{}, full("The tasks that wait or run take %d MiB, and more is not kept.", live.bytes>>20)
	}
	c.Tasks.put(s.New(op.ID, c.actor, c.at))
	return TaskAnswer{ID: op.ID}, nil
}

// bound is a bound that was configured, within that of the program.
func bound(set, most int) int {
	if set <= 0 {
		return most
	}
	return min(set, most)
}

func full(detail string, args ...any) error {
	e := problem.New(problem.Busy, "Try again in some seconds, or have more agents work on them.", detail, args...)
	e.RetryAfter = 5 * time.Second
	return e
}

func (c *change) lease(op TaskLease, died *mourning) (TaskAnswer, error) {
	var a TaskAnswer
	for t := range c.Tasks.heldBy(op.Node) {
		if t.Grant == op.Grant {
			a.Grants = append(a.Grants, Grant{t.ID, t.Lease}) // the same call again
		}
	}
	if len(a.Grants) > 0 {
		return a, nil
	}
	switch c.Nodes[op.Node].State {
	case Approved:
	case Draining:
		return a, nil
	default:
		return a, problem.New(problem.Forbidden, "Have it approved, or join it again.", "The node %.64q does not take part.", op.Node)
	}
	for len(a.Grants) < min(op.Max, task.MaxLease) {
		t, ok := c.Tasks.first(op.Kinds, op.Models)
		if !ok {
			break
		}
		if c.late(t, died) {
			continue
		}
		c.Tasks.leases++
		t.Attempts++
		t.Lease = task.Lease{Epoch: t.Lease.Epoch + 1, Seq: c.Tasks.leases}
		t.Node, t.Grant, t.Outcome = op.Node, op.Grant, ""
		c.step(t, task.Leased)
		a.Grants = append(a.Grants, Grant{t.ID, t.Lease})
	}
	return a, nil
}

// late makes a task dead that is past its deadline.
func (c *change) late(t task.Task, died *mourning) bool {
	if t.Deadline.IsZero() || t.Deadline.After(c.at) {
		return false
	}
	if t.State == task.Leased {
		t.Outcome = task.Expired
	}
	t.Error = "it was not done by its deadline"
	c.step(t, task.Dead)
	died.add(t)
	return true
}

// step puts a task into another state.
func (c *change) step(t task.Task, to task.State) {
	t.State, t.Changed = to, c.at
	if to != task.Leased {
		t.Grant = ""
	}
	if to == task.Done || to == task.Cancelled && len(t.Input) > 4<<10 {
		t.Input = nil
	}
	c.Tasks.put(t)
}

// mine finds a task that node reports on by a lease. over says that this very
// attempt has ended before.
func (c *change) mine(id, node string, lease task.Lease) (t task.Task, over bool, err error) {
	t, err = c.find(id)
	if err != nil {
		return t, false, err
	}
	if !sabotage.NoFencing && (t.Lease != lease || t.Node != node || lease.IsZero()) {
		return t, false, stale(t, lease)
	}
	return t, t.State != task.Leased, nil
}

func stale(t task.Task, lease task.Lease) error {
	return problem.New(problem.StaleLease, "Stop working on it, and throw away what was done.",
		"The lease %s of task %s has ended; the task is %s.", lease, t.ID, t.State)
}

func (c *change) find(id string) (task.Task, error) {
	t, ok := c.Tasks.Get(id)
	if !ok {
		return t, NoTask(id)
	}
	return t, nil
}

// NoTask is the problem of a task that is not there.
func NoTask(id string) error {
	return problem.New(problem.NotFound, "List them: prime-spark tasks. Those that ended are kept for a day.", "There is no task %.64q.", id)
}

func (c *change) complete(op TaskComplete) (TaskAnswer, error) {
	t, over, err := c.mine(op.ID, op.Node, op.Lease)
	switch {
	case err != nil:
		return TaskAnswer{}, err
	case over && t.State == task.Done:
		return TaskAnswer{ID: t.ID}, nil
	case over:
		return TaskAnswer{}, stale(t, op.Lease)
	case len(op.Result) > task.MaxResult || len(op.ResultRef) > task.MaxRef:
		return TaskAnswer{}, problem.New(problem.TooLarge, "Hand it in as an object (PUT /v1/objects), and refer to it.",
			"The result has %d bytes, at most %d are allowed.", len(op.Result), task.MaxResult)
	case op.ResultObject != nil && !op.ResultObject.Valid():
		return TaskAnswer{}, problem.New(problem.Invalid, "Give it as PUT /v1/objects answered.", "The result refers to no possible object.")
	}
	t.Result, t.ResultRef, t.Outcome, t.Error = op.Result, op.ResultRef, task.Completed, ""
	t.ResultObject = op.ResultObject
	c.step(t, task.Done)
	return TaskAnswer{ID: t.ID}, nil
}

func (c *change) fail(op TaskFail, died *mourning) (TaskAnswer, error) {
	t, over, err := c.mine(op.ID, op.Node, op.Lease)
	switch {
	case err != nil:
		return TaskAnswer{}, err
	case over && (t.Outcome == task.Failed || t.Outcome == task.Released):
		return TaskAnswer{ID: t.ID}, nil
	case over:
		return TaskAnswer{}, stale(t, op.Lease)
	}
	if op.Release {
		t.Attempts--
		t.Outcome = task.Released
		c.step(t, task.Ready)
		return TaskAnswer{ID: t.ID}, nil
	}
	t.Outcome, t.Error = task.Failed, cut(op.Error)
	c.again(t, op.Permanent, op.Draw, died)
	return TaskAnswer{ID: t.ID}, nil
}

// cut bounds an error, at a whole character.
func cut(s string) string {
	if len(s) > task.MaxError {
		s = s[:task.MaxError]
	}
	return strings.ToValidUTF8(s, "")
}

// again gives a task whose attempt failed another one after a pause, or up.
func (c *change) again(t task.Task, permanent bool, draw uint32, died *mourning) {
	if permanent || t.Attempts >= t.MaxAttempts {
		c.step(t, task.Dead)
		died.add(t)
		return
	}
	t.Due = c.at.Add(task.Backoff(t.Attempts, draw))
	c.step(t, task.Retryable)
}

func (c *change) cancel(op TaskCancel) (TaskAnswer, error) {
	t, err := c.find(op.ID)
	switch {
	case err != nil:
		return TaskAnswer{}, err
	case t.State == task.Cancelled:
		return TaskAnswer{ID: t.ID}, nil
	case t.State.Final():
		return TaskAnswer{}, problem.New(problem.Conflict, "Leave it.", "The task %s is %s already.", t.ID, t.State)
	}
	c.step(t, task.Cancelled)
	c.taskEvent("task.cancel", Info, t.ID, "The task %s was cancelled.", t.ID)
	return TaskAnswer{ID: t.ID}, nil
}

func (c *change) requeue(op TaskRequeue) (TaskAnswer, error) {
	t, err := c.find(op.ID)
	switch {
	case err != nil:
		return TaskAnswer{}, err
	case !t.State.Final():
		return TaskAnswer{ID: t.ID}, nil // it is in the queue
	case t.State == task.Done:
		return TaskAnswer{}, problem.New(problem.Conflict, "Submit it anew.", "The task %s is done.", t.ID)
	case t.Kind == task.Infer && len(t.Input) == 0:
		return TaskAnswer{}, problem.New(problem.Conflict, "Submit it anew.", "The input of the cancelled task %s has been dropped.", t.ID)
	case !t.Deadline.IsZero() && !t.Deadline.After(c.at):
		return TaskAnswer{}, problem.New(problem.Conflict, "Submit it anew, with a later deadline.", "The deadline of task %s has passed.", t.ID)
	case c.Tasks.live.count >= bound(op.Most, MaxTasks) || c.Tasks.live.bytes+len(t.Input) > bound(op.MostBytes, MaxTaskBytes):
		return TaskAnswer{}, full("%d tasks wait or run, and more are not kept.", c.Tasks.live.count)
	}
	t.Attempts, t.Due = 0, c.at
	c.step(t, task.Ready)
	c.taskEvent("task.requeue", Info, t.ID, "The task %s was requeued.", t.ID)
	return TaskAnswer{ID: t.ID}, nil
}

func (c *change) expire(op TaskExpire, died *mourning) (TaskAnswer, error) {
	for _, e := range op.Leases {
		t, ok := c.Tasks.Get(e.ID)
		if !ok || t.State != task.Leased || t.Lease != e.Lease {
			continue
		}
		t.Outcome, t.Error = task.Expired, cut(e.Why)
		c.again(t, false, e.Draw, died)
	}
	return TaskAnswer{}, nil
}

func (c *change) tick(died *mourning) (TaskAnswer, error) {
	now := stamp(c.at.Add(time.Millisecond)) // timers are kept in whole milliseconds
	done := 0
	for key := range c.Tasks.timers.From("") { // of the tasks as they are before
		if key >= now || done == maxTick {
			break
		}
		done++
		t, _ := c.Tasks.Get(idIn(key))
		switch {
		case timer(t).After(c.at):
		case t.State.Final():
			c.Tasks.drop(t.ID)
		case c.late(t, died):
		default:
			c.step(t, task.Ready)
		}
	}
	for at, name := range c.Tasks.lapses.From("") {
		if at >= now || done == 2*maxTick {
			break
		}
		done++
		c.Tasks.forget(name)
	}
	return TaskAnswer{}, nil
}
