package wire

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"primespark/shared/task"
)

// PathTasks is where tasks are, PathLease where a node asks for some, and
// PathRelease where it gives back what it asked for.
const (
	PathTasks   = "/v1/tasks"
	PathLease   = PathTasks + ":lease"
	PathRelease = PathTasks + ":release"
)

// HeaderKey makes a call that changes something safe to send again, for
// task.KeyFor: the same caller's same call with the same key is done once. The
// same key with another call is a problem.Conflict.
const HeaderKey = "Idempotency-Key"

// TaskPath is the path of one task, and with a verb (cancel, requeue, renew,
// complete, fail) that of what is done to it.
func TaskPath(id, verb string) string {
	p := PathTasks + "/" + url.PathEscape(id)
	if verb != "" {
		p += ":" + verb
	}
	return p
}

// TasksBody answers GET /v1/tasks: in the order of submission, without inputs
// and results.
type TasksBody struct {
	Tasks []task.Task `json:"tasks"`
	Next  string      `json:"next,omitempty"` // give it as after for those that follow; empty at the end
}

// LeaseRequest is the body of POST /v1/tasks:lease.
type LeaseRequest struct {
	Node   string      `json:"node"`             // who asks: the name in its certificate
	Kinds  []task.Kind `json:"kinds"`            // what it can do
	Models []string    `json:"models,omitempty"` // which models it has; empty: it takes any
	Max    int         `json:"max,omitempty"`    // 1 to task.MaxLease; 1 if 0
	Wait   string      `json:"wait,omitempty"`   // a Go duration, how long to wait for the first; task.MaxWait at most

	// Grant is the call's Idempotency-Key, by which ReleaseTasks knows it; empty: a fresh one.
	Grant string `json:"-"`
}

// ReleaseRequest is the body of POST /v1/tasks:release.
type ReleaseRequest struct {
	Node  string `json:"node"`  // who asks: the name in its certificate
	Grant string `json:"grant"` // the Idempotency-Key of the lease call that it has given up
}

// ReleaseBody is its answer.
type ReleaseBody struct {
	Released int `json:"released"` // tasks that the call had been given
}

// A Leased is one of its answer's tasks, which its node now holds.
type Leased struct {
	ID        string          `json:"id"`
	Lease     task.Lease      `json:"lease"`
	ExpiresIn float64         `json:"expires_in"` // seconds from when the answer was made
	Kind      task.Kind       `json:"kind"`
	Model     string          `json:"model,omitempty"`
	Input     json.RawMessage `json:"input,omitempty"`
	Priority  int             `json:"priority"`
	Attempt   int             `json:"attempt"` // 1 and up
	Deadline  time.Time       `json:"deadline,omitzero"`
}

// RenewRequest is the body of POST /v1/tasks/{id}:renew.
type RenewRequest struct {
	Lease task.Lease `json:"lease"`
}

// RenewBody is its answer.
type RenewBody struct {
	ExpiresIn float64 `json:"expires_in"` // seconds
}

// CompleteRequest is the body of POST /v1/tasks/{id}:complete. A result of more
// than task.MaxResult bytes is handed in as an object before; ResultRef says where
// somebody else keeps it.
type CompleteRequest struct {
	Lease     task.Lease      `json:"lease"`
	Result    json.RawMessage `json:"result,omitempty"`
	ResultRef string          `json:"result_ref,omitempty"`

	ResultObject *task.Object `json:"result_object,omitempty"`
}

// FailRequest is the body of POST /v1/tasks/{id}:fail.
type FailRequest struct {
	Lease     task.Lease `json:"lease"`
	Error     string     `json:"error,omitempty"`
	Permanent bool       `json:"permanent,omitempty"` // no other attempt would go better
	Release   bool       `json:"release,omitempty"`   // given back unharmed: it does not count as an attempt
}

// SubmitTask puts a task into the queue. It is sent again when its answer was
// lost, and done once. An empty key stands for a fresh one; give one of your own
// to submit the same task at most once across restarts.
func (c *Client) SubmitTask(ctx context.Context, spec task.Spec, key string) (t task.Task, err error) {
	err = c.change(ctx, PathTasks, key, spec, &t)
	return t, err
}

// Task reads one task, with its input and result. With a wait above zero it
// waits so long for the task to be final, and returns it as it then is.
func (c *Client) Task(ctx context.Context, id string, wait time.Duration) (t task.Task, err error) {
	q := c.reading()
	if wait > 0 {
		q.Set("wait", wait.String())
	}
	err = c.get(ctx, TaskPath(id, ""), q, &t)
	return t, err
}

// Tasks reads tasks in the order of submission: those in a state, all if it is
// empty; those after the id, from the first if it is empty. A limit of 0 leaves
// it to the server.
func (c *Client) Tasks(ctx context.Context, state task.State, after string, limit int) (b TasksBody, err error) {
	q := c.reading()
	if state != "" {
		q.Set("state", string(state))
	}
	if after != "" {
		q.Set("after", after)
	}
	if limit > 0 {
		q.Set("limit", strconv.Itoa(limit))
	}
	err = c.get(ctx, PathTasks, q, &b)
	return b, err
}

// CancelTask ends a task that is not final; one that is cancelled stays so.
func (c *Client) CancelTask(ctx context.Context, id string) (t task.Task, err error) {
	err = c.change(ctx, TaskPath(id, "cancel"), "", struct{}{}, &t)
	return t, err
}

// RequeueTask gives a dead or cancelled task all its attempts again.
func (c *Client) RequeueTask(ctx context.Context, id string) (t task.Task, err error) {
	err = c.change(ctx, TaskPath(id, "requeue"), "", struct{}{}, &t)
	return t, err
}

// LeaseTasks asks for work. An answer that is lost is asked for again and given
// once. Nothing in it means that there was nothing within the wait.
func (c *Client) LeaseTasks(ctx context.Context, r LeaseRequest) (l []Leased, err error) {
	err = c.change(ctx, PathLease, r.Grant, r, &l)
	return l, err
}

// ReleaseTasks gives back what LeaseTasks was given whose answer nobody waits for any
// more, and sees to it that it is given nothing later. It counts as no attempt.
func (c *Client) ReleaseTasks(ctx context.Context, r ReleaseRequest) error {
	return c.change(ctx, PathRelease, "", r, &ReleaseBody{})
}

// RenewTask keeps a lease, and returns for how long. problem.StaleLease means
// that the task is no longer this node's.
func (c *Client) RenewTask(ctx context.Context, id string, lease task.Lease) (time.Duration, error) {
	var b RenewBody
	err := c.change(ctx, TaskPath(id, "renew"), "", RenewRequest{lease}, &b)
	return time.Duration(b.ExpiresIn * float64(time.Second)), err
}

// CompleteTask reports that a task is done. problem.StaleLease means that
// somebody else does it, and that the result does not count.
func (c *Client) CompleteTask(ctx context.Context, id string, r CompleteRequest) (t task.Task, err error) {
	err = c.change(ctx, TaskPath(id, "complete"), "", r, &t)
	return t, err
}

// FailTask reports that a task could not be done, or gives it back.
func (c *Client) FailTask(ctx context.Context, id string, r FailRequest) (t task.Task, err error) {
	err = c.change(ctx, TaskPath(id, "fail"), "", r, &t)
	return t, err
}

// change posts what may be sent twice, since it has a key.
func (c *Client) change(ctx context.Context, path, key string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode the request of %s: %w", path, err)
	}
	if key == "" {
		key = rand.Text()
	}
	h := http.Header{"Content-Type": {"application/json"}, HeaderKey: {key}}
	a, err := c.do(ctx, call{method: http.MethodPost, path: path, header: h, body: b, safe: true})
	if err != nil {
		return err
	}
	return a.decode(out)
}
