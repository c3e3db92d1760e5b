package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A Queue is the task queue as the API uses it.
type Queue interface {
	// Do has the group carry out an operation, and returns the task that it was about.
	Do(ctx context.Context, op fsm.TaskOp) (task.Task, error)
	// Lease gives a node tasks; it waits for the first, at most so long.
	Lease(ctx context.Context, l fsm.TaskLease, wait time.Duration) ([]task.Task, error)
	// Release gives back what a node's lease call was given, and tells how many tasks.
	Release(ctx context.Context, node, grant string) (int, error)
	// Renew keeps a lease for task.LeaseFor from now.
	Renew(ctx context.Context, node, id string, lease task.Lease) error
}

// taskRoutes are the rows of the table about tasks.
func taskRoutes() []Route {
	one := wire.PathTasks + "/{id}"
	return []Route{
		{"POST", wire.PathTasks, Infer, "task.submit", "Put a task into the queue. With an Idempotency-Key it may be sent again for a day and is done once.", nil, task.Spec{}, task.Task{}, (*API).submitTask},
		{"GET", wire.PathTasks, View, "", "Tasks in the order of submission, without inputs and results.", []Param{
			{"state", "only those in it; dead are the dead letters"}, {"after", "id of a task: only later ones"}, {"limit", "at most so many, 1 to 1000; 100 if not given"}, stale,
		}, nil, wire.TasksBody{}, (*API).tasks},
		{"GET", one, View, "", "One task.", []Param{{"wait", "wait so long for it to be done, dead or cancelled: 30s at most"}, stale}, nil, task.Task{}, (*API).task},
		{"POST", one + ":cancel", Operate, "task.cancel", "End a task that is not final.", nil, nil, task.Task{}, (*API).cancelTask},
		{"POST", one + ":requeue", Operate, "task.requeue", "Give a dead or cancelled task all its attempts again.", nil, nil, task.Task{}, (*API).requeueTask},
		{"POST", wire.PathLease, Belong, "task.lease", "Take tasks to work on.", nil, wire.LeaseRequest{}, []wire.Leased{}, (*API).leaseTasks},
		{"POST", wire.PathRelease, Belong, "task.release", "Give back what a lease call was given whose answer nobody waits for; it is given nothing later.", nil, wire.ReleaseRequest{}, wire.ReleaseBody{}, (*API).releaseTasks},
		{"POST", one + ":renew", Belong, "task.renew", "Keep a lease.", nil, wire.RenewRequest{}, wire.RenewBody{}, (*API).renewTask},
		{"POST", one + ":complete", Belong, "task.complete", "Report that a task is done.", nil, wire.CompleteRequest{}, task.Task{}, (*API).completeTask},
		{"POST", one + ":fail", Belong, "task.fail", "Report that a task could not be done, or give it back.", nil, wire.FailRequest{}, task.Task{}, (*API).failTask},
	}
}

// limit bounds the body of a call, in bytes.
func (r Route) limit() int64 {
	switch r.Audit {
	case "task.complete":
		return task.MaxResult + maxJSON
	case "object.copy":
		return task.MaxObject
	case "node.heartbeat":
		return unbounded
	case "telemetry.upload":
		return wire.UploadBytes
	}
	return maxJSON
}

// level is how loud the audit of a call is: what agents do every few seconds is
// in the task or in the history, and no news.
func (r Route) level() slog.Level {
	if r.Permission == Assist || r.Permission == Belong && (strings.HasPrefix(r.Audit, "task.") || r.Audit == "node.heartbeat" || r.Audit == "telemetry.upload") {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// begin begins an operation on tasks: who wants it, and by which call.
func begin(r *call, body []byte) (fsm.TaskOp, error) {
	c, err := keyed(r, body)
	return fsm.TaskOp{Actor: r.who.Actor, Key: c.Key, Hash: c.Hash}, err
}

// take reads a body into out, and begins an operation.
func take(r *call, out any) (fsm.TaskOp, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return fsm.TaskOp{}, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	if out == nil {
		err = empty(r)
	} else {
		err = decode(r, out)
	}
	if err != nil {
		return fsm.TaskOp{}, err
	}
	return begin(r, body)
}

// do carries an operation out and answers with the task.
func (a *API) do(w http.ResponseWriter, r *call, code int, op fsm.TaskOp) error {
	ctx, cancel := bounded(r)
	defer cancel()
	t, err := a.cfg.Tasks.Do(ctx, op)
	if err != nil {
		return err
	}
	return answerWith(w, code, t.Head())
}

// maxSubmit bounds the body of a submission.
const maxSubmit = task.MaxInput + 16<<10

func (a *API) submitTask(w http.ResponseWriter, r *call) error {
	size := int64(maxSubmit)
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if !a.bodies.TryAcquire(size) {
		return problem.New(problem.Busy, "Try again in a second.", "Too many large requests are under way on this coordinator.")
	}
	defer a.bodies.Release(size)
	r.Body = http.MaxBytesReader(w, r.Body, maxSubmit)
	var spec task.Spec
	op, err := take(r, &spec)
	if err != nil {
		return err
	}
	now := time.Now()
	if err := spec.Check(now); err != nil {
		return err
	}
	if o, ok := task.InputObject(spec.Kind, spec.Input); ok {
		if err := a.confirm(r, o); err != nil {
			return err
		}
	}
	op.Submit = &fsm.TaskSubmit{ID: task.NewID(now), Spec: spec, Most: a.cfg.MostTasks, MostBytes: a.cfg.MostBytes}
	return a.do(w, r, http.StatusCreated, op)
}

func (a *API) cancelTask(w http.ResponseWriter, r *call) error {
	op, err := take(r, nil)
	if err != nil {
		return err
	}
	op.Cancel = &fsm.TaskCancel{ID: r.PathValue("id")}
	return a.do(w, r, http.StatusOK, op)
}

func (a *API) requeueTask(w http.ResponseWriter, r *call) error {
	op, err := take(r, nil)
	if err != nil {
		return err
	}
	op.Requeue = &fsm.TaskRequeue{ID: r.PathValue("id"), Most: a.cfg.MostTasks, MostBytes: a.cfg.MostBytes}
	return a.do(w, r, http.StatusOK, op)
}

// agent is the name of the agent that makes a call.
func agent(r *call) (string, error) {
	if name, ok := strings.CutPrefix(r.who.Actor, string(fleet.Agent)+":"); ok {
		return name, nil
	}
	return "", problem.New(problem.Forbidden, "Ask as an agent, by its certificate.", "Only agents work on tasks.")
}

func (a *API) completeTask(w http.ResponseWriter, r *call) error {
	node, err := agent(r)
	if err != nil {
		return err
	}
	var in wire.CompleteRequest
	op, err := take(r, &in)
	if err != nil {
		return err
	}
	if len(in.Result) > task.MaxResult || len(in.ResultRef) > task.MaxRef {
		return problem.New(problem.TooLarge, "Hand it in with PUT /v1/objects, and give it as result_object.",
			"The result has %d bytes, at most %d are allowed.", len(in.Result), task.MaxResult)
	}
	if in.ResultObject != nil {
		if err := a.confirm(r, *in.ResultObject); err != nil {
			return err
		}
	}
	op.Complete = &fsm.TaskComplete{
		ID: r.PathValue("id"), Node: node, Lease: in.Lease, Result: in.Result, ResultRef: in.ResultRef, ResultObject: in.ResultObject,
	}
	return a.do(w, r, http.StatusOK, op)
}

func (a *API) failTask(w http.ResponseWriter, r *call) error {
	node, err := agent(r)
	if err != nil {
		return err
	}
	var in wire.FailRequest
	op, err := take(r, &in)
	if err != nil {
		return err
	}
	op.Fail = &fsm.TaskFail{
		ID: r.PathValue("id"), Node: node, Lease: in.Lease, Error: in.Error[:min(len(in.Error), task.MaxError)],
		Permanent: in.Permanent, Release: in.Release, Draw: rand.Uint32(),
	}
	return a.do(w, r, http.StatusOK, op)
}

func (a *API) renewTask(w http.ResponseWriter, r *call) error {
	node, err := agent(r)
	if err != nil {
		return err
	}
	var in wire.RenewRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	ctx, cancel := bounded(r)
	defer cancel()
	if err := a.cfg.Tasks.Renew(ctx, node, r.PathValue("id"), in.Lease); err != nil {
		return err
	}
	return answer(w, wire.RenewBody{ExpiresIn: task.LeaseFor.Seconds()})
}

// maxModels bounds the models that a node names in one call.
const maxModels = 64

func (a *API) leaseTasks(w http.ResponseWriter, r *call) error {
	l, wait, err := leaseCall(r)
	if err != nil {
		return err
	}
	ctx, cancel := a.untilStop(r.Context())
	defer cancel()
	got, err := a.cfg.Tasks.Lease(ctx, l, wait)
	if err != nil {
		return err
	}
	return answer(w, leased(got))
}

// leaseCall reads what a node asks for, and how long it waits for that.
func leaseCall(r *call) (l fsm.TaskLease, wait time.Duration, err error) {
	fail := func(err error) (fsm.TaskLease, time.Duration, error) { return fsm.TaskLease{}, 0, err }
	bad := func(remedy, detail string, args ...any) (fsm.TaskLease, time.Duration, error) {
		return fail(problem.New(problem.Invalid, remedy, detail, args...))
	}
	node, err := agent(r)
	if err != nil {
		return fail(err)
	}
	var in wire.LeaseRequest
	op, err := take(r, &in)
	if err != nil {
		return fail(err)
	}
	if wait, err = waitFor(in.Wait); err != nil {
		return fail(err)
	}
	switch {
	case in.Node != node:
		return fail(problem.New(problem.Forbidden, "Give the name in your certificate.", "You are %s, and ask for %.64q.", node, in.Node))
	case len(in.Kinds) == 0 || len(in.Kinds) > len(task.Kinds):
		return bad("Give some of infer and noop, each once.", "The call names %d kinds of tasks.", len(in.Kinds))
	case len(in.Models) > maxModels:
		return bad("Name at most 64, or none for any.", "The call names %d models.", len(in.Models))
	case in.Max < 0 || in.Max > task.MaxLease:
		return bad("Give 1 to 64.", "The call asks for %d tasks.", in.Max)
	}
	for _, k := range in.Kinds {
		if !k.Valid() {
			return bad("Use infer or noop.", "There are no tasks of kind %.32q.", k)
		}
	}
	for _, m := range in.Models {
		if !model.ValidName(m) {
			return bad("Give names of models.", "The model %.64q is not valid.", m)
		}
	}
	grant := op.Key
	if grant == "" {
		grant = task.NewID(time.Now())
	}
	return fsm.TaskLease{Node: node, Kinds: in.Kinds, Models: in.Models, Max: max(1, in.Max), Grant: grant}, wait, nil
}

// leased is how a node is told of its tasks.
func leased(got []task.Task) []wire.Leased {
	out := make([]wire.Leased, len(got))
	for i := range got {
		t := &got[i]
		out[i] = wire.Leased{
			ID: t.ID, Lease: t.Lease, ExpiresIn: task.LeaseFor.Seconds(), Kind: t.Kind, Model: t.Model, Input: t.Input,
			Priority: t.Priority, Attempt: t.Attempts, Deadline: t.Deadline,
		}
	}
	return out
}

// releaseTasks lets a node give up a lease call by its Idempotency-Key, which names the grant.
func (a *API) releaseTasks(w http.ResponseWriter, r *call) error {
	node, err := agent(r)
	if err != nil {
		return err
	}
	var in wire.ReleaseRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	switch {
	case in.Node != node:
		return problem.New(problem.Forbidden, "Give the name in your certificate.", "You are %s, and give back for %.64q.", node, in.Node)
	case in.Grant == "" || len(in.Grant) > task.MaxKey:
		return problem.New(problem.Invalid, "Give the Idempotency-Key of the call that is given up.", "A grant has 1 to %d bytes, and this one %d.", task.MaxKey, len(in.Grant))
	}
	ctx, cancel := bounded(r)
	defer cancel()
	n, err := a.cfg.Tasks.Release(ctx, node, in.Grant)
	if err != nil {
		return err
	}
	return answer(w, wire.ReleaseBody{Released: n})
}

// untilStop is a context that ends with parent, or when this coordinator stops.
func (a *API) untilStop(parent context.Context) (ctx context.Context, cancel func()) {
	ctx, end := context.WithCancelCause(parent)
	stop := context.AfterFunc(a.open, func() { end(stopping()) })
	return ctx, func() { stop(); end(nil) }
}

// stopping is what a call is told that waits when this coordinator stops.
func stopping() error {
	return problem.New(problem.NotReady, "Ask another coordinator.", "This coordinator is stopping.")
}

// waitFor reads how long a call may wait.
func waitFor(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, problem.New(problem.Invalid, "Give a duration such as 30s.", "The wait %.32q is none.", text)
	}
	return min(d, task.MaxWait), nil
}

func (a *API) tasks(w http.ResponseWriter, r *call) error {
	q := r.URL.Query()
	limit := 100
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			return problem.New(problem.Invalid, "Give 1 to 1000.", "The limit %.32q is out of bounds.", text)
		}
		limit = n
	}
	state, after := task.State(q.Get("state")), q.Get("after")
	if state != "" && !state.Valid() {
		return problem.New(problem.Invalid, "Use scheduled, ready, leased, retryable, done, dead or cancelled.", "There is no state %.32q of tasks.", state)
	}
	if after != "" && !task.ValidID(after) {
		return problem.New(problem.Invalid, "Give the id of a task.", "after is %.64q.", after)
	}
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	body := wire.TasksBody{Tasks: s.Tasks.After(after, state, limit)}
	if n := len(body.Tasks); n == limit {
		body.Next = body.Tasks[n-1].ID
	}
	return answer(w, body)
}

func (a *API) task(w http.ResponseWriter, r *call) error {
	wait, err := waitFor(r.URL.Query().Get("wait"))
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	end := time.NewTimer(wait)
	defer end.Stop()
	for over := wait == 0; ; {
		t, ok := s.Tasks.Get(id)
		if !ok {
			return fsm.NoTask(id)
		}
		if over || t.State.Final() {
			label(w, s)
			return answer(w, t)
		}
		now, changed := a.cfg.Group.State()
		if now.Index > s.Index {
			s = now
			continue
		}
		select {
		case <-changed:
		case <-end.C:
			over = true
		case <-a.stopped:
			return stopping()
		case <-r.Context().Done():
			return r.Context().Err()
		}
	}
}
