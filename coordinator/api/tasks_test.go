package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A queue does each operation in an entry of its own, and never waits.
type queue struct{ group *group }

func (q queue) one(ctx context.Context, op fsm.TaskOp) (fsm.TaskAnswer, error) {
	b, err := q.group.Propose(ctx, "c1", fsm.TaskBatch{Ops: []fsm.TaskOp{op}})
	if err != nil {
		return fsm.TaskAnswer{}, err
	}
	var r fsm.TaskResult
	if err := json.Unmarshal(b, &r); err != nil {
		return fsm.TaskAnswer{}, err
	}
	if p := r.Answers[0].Problem; p != nil {
		return fsm.TaskAnswer{}, p
	}
	return r.Answers[0], nil
}

func (q queue) Do(ctx context.Context, op fsm.TaskOp) (task.Task, error) {
	a, err := q.one(ctx, op)
	s, _ := q.group.State()
	t, _ := s.Tasks.Get(a.ID)
	return t, err
}

func (q queue) Lease(ctx context.Context, l fsm.TaskLease, _ time.Duration) ([]task.Task, error) {
	a, err := q.one(ctx, fsm.TaskOp{Lease: &l})
	s, _ := q.group.State()
	var got []task.Task
	for _, g := range a.Grants {
		t, _ := s.Tasks.Get(g.ID)
		got = append(got, t)
	}
	return got, err
}

func (q queue) Release(ctx context.Context, node, grant string) (n int, err error) {
	s, _ := q.group.State()
	for _, t := range s.Tasks.Granted(node, grant) {
		if _, err = q.one(ctx, fsm.TaskOp{Fail: &fsm.TaskFail{ID: t.ID, Node: node, Lease: t.Lease, Release: true}}); err == nil {
			n++
		}
	}
	return n, err
}

func (q queue) Renew(_ context.Context, node, id string, lease task.Lease) error {
	s, _ := q.group.State()
	if t, _ := s.Tasks.Get(id); t.Node != node || t.Lease != lease {
		return problem.New(problem.StaleLease, "Stop.", "It has ended.")
	}
	return nil
}

func decoded[T any](t *testing.T, w *httptest.ResponseRecorder) (v T) {
	t.Helper()
	if w.Code >= 300 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const lease1 = `{"node":"pi-1","kinds":["noop","infer"],"max":2}`

// TestTaskStory takes tasks through the API as clients and an agent do.
func TestTaskStory(t *testing.T) {
	l := newLab(t)
	image := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 200_000))
	w := l.do(l.as("operator", "POST", "/v1/tasks", `{"kind":"infer","model":"blazeface","input":{"image":"`+image+`"},"priority":0}`))
	first := decoded[task.Task](t, w)
	if w.Code != http.StatusCreated || first.State != task.Ready || first.By != "token:operator" || first.Input != nil {
		t.Errorf("submitted: %d %+v", w.Code, first)
	}
	second := decoded[task.Task](t, l.do(l.as("operator", "POST", "/v1/tasks", `{"kind":"noop","max_attempts":1}`)))
	got := decoded[[]wire.Leased](t, l.do(l.as("agent/pi-1", "POST", "/v1/tasks:lease", lease1)))
	if len(got) != 2 || got[0].ID != first.ID || got[0].ExpiresIn != 15 || !strings.Contains(string(got[0].Input), image) || got[1].ID != second.ID {
		t.Fatalf("leased %d: %.300v", len(got), got)
	}
	at := func(i int, verb string) string { return wire.TaskPath(got[i].ID, verb) }
	if b := decoded[wire.RenewBody](t, l.do(l.as("agent/pi-1", "POST", at(0, "renew"), `{"lease":"`+got[0].Lease.String()+`"}`))); b.ExpiresIn != 15 {
		t.Errorf("renewed for %v s", b.ExpiresIn)
	}
	large := fmt.Sprintf(`{"lease":"%s","result":"%s"}`, got[0].Lease, strings.Repeat("x", task.MaxResult-2))
	if done := decoded[task.Task](t, l.do(l.as("agent/pi-1", "POST", at(0, "complete"), large))); done.State != task.Done {
		t.Errorf("completed: %+v", done)
	}
	failed := decoded[task.Task](t, l.do(l.as("agent/pi-1", "POST", at(1, "fail"), `{"lease":"`+got[1].Lease.String()+`","error":"boom"}`)))
	if failed.State != task.Dead || failed.Error != "boom" {
		t.Errorf("failed: %+v", failed)
	}
	if whole := decoded[task.Task](t, l.do(l.as("viewer", "GET", at(0, "")+"?wait=30s", ""))); len(whole.Result) != task.MaxResult {
		t.Errorf("a result of %d bytes", len(whole.Result))
	}
	if dead := decoded[wire.TasksBody](t, l.do(l.as("viewer", "GET", "/v1/tasks?state=dead", ""))); len(dead.Tasks) != 1 || dead.Tasks[0].ID != second.ID {
		t.Errorf("dead letters: %+v", dead)
	}
	if again := decoded[task.Task](t, l.do(l.as("operator", "POST", at(1, "requeue"), ""))); again.State != task.Ready || again.Attempts != 0 {
		t.Errorf("requeued: %+v", again)
	}
	if gone := decoded[task.Task](t, l.do(l.as("operator", "POST", at(1, "cancel"), "{}"))); gone.State != task.Cancelled {
		t.Errorf("cancelled: %+v", gone)
	}
	page := decoded[wire.TasksBody](t, l.do(l.as("viewer", "GET", "/v1/tasks?limit=1", "")))
	rest := decoded[wire.TasksBody](t, l.do(l.as("viewer", "GET", "/v1/tasks?limit=1&after="+page.Next, "")))
	if page.Tasks[0].ID != min(first.ID, second.ID) || rest.Tasks[0].ID != max(first.ID, second.ID) {
		t.Errorf("pages: %+v, %+v", page, rest)
	}
}

// TestTaskKeys sends calls again with the same Idempotency-Key.
func TestTaskKeys(t *testing.T) {
	l := newLab(t)
	send := func(who, path, key, body string) *httptest.ResponseRecorder {
		r := l.as(who, "POST", path, body)
		r.Header.Set(wire.HeaderKey, key)
		return l.do(r)
	}
	one := decoded[task.Task](t, send("operator", "/v1/tasks", "k", `{"kind":"noop"}`))
	if again := decoded[task.Task](t, send("operator", "/v1/tasks", "k", `{"kind":"noop"}`)); again.ID != one.ID {
		t.Error("the same call makes two tasks")
	}
	if other := decoded[task.Task](t, send("admin", "/v1/tasks", "k", `{"kind":"noop"}`)); other.ID == one.ID {
		t.Error("keys of two callers are the same")
	}
	if w := send("operator", "/v1/tasks", "k", `{"kind":"noop","priority":1}`); code(w) != problem.Conflict {
		t.Errorf("another body: %d %s", w.Code, w.Body)
	}
	if w := send("operator", wire.TaskPath(one.ID, "cancel"), "k", ""); code(w) != problem.Conflict {
		t.Errorf("another call: %d %s", w.Code, w.Body)
	}
	if w := send("operator", "/v1/tasks", strings.Repeat("k", 129), `{"kind":"noop"}`); code(w) != problem.Invalid {
		t.Errorf("a long key: %d %s", w.Code, w.Body)
	}
	got := decoded[[]wire.Leased](t, send("agent/pi-1", "/v1/tasks:lease", "g", lease1))
	if again := decoded[[]wire.Leased](t, send("agent/pi-1", "/v1/tasks:lease", "g", lease1)); len(got) != 2 || len(again) != 2 || again[0].Lease != got[0].Lease {
		t.Errorf("leased %v, and again %v", got, again)
	}
	const givesUp = `{"node":"pi-1","grant":"g"}`
	if b := decoded[wire.ReleaseBody](t, send("agent/pi-1", "/v1/tasks:release", "r", givesUp)); b.Released != 2 {
		t.Errorf("%d tasks were given back, want 2", b.Released)
	}
	if again := decoded[wire.ReleaseBody](t, send("agent/pi-1", "/v1/tasks:release", "r", givesUp)); again.Released != 0 {
		t.Errorf("%d tasks were given back once more", again.Released)
	}
}

func TestTaskBadInput(t *testing.T) {
	none := wire.TaskPath("00000000000000000000000000", "")
	for name, test := range map[string]struct {
		who, method, target, body string
		want                      problem.Code
	}{
		"shell":               {"operator", "POST", "/v1/tasks", `{"kind":"shell"}`, problem.Invalid},
		"unknown field":       {"operator", "POST", "/v1/tasks", `{"kind":"noop","prio":1}`, problem.Invalid},
		"path for a model":    {"operator", "POST", "/v1/tasks", `{"kind":"infer","model":"../../etc","input":{"image":"/w=="}}`, problem.Invalid},
		"large":               {"operator", "POST", "/v1/tasks", `{"kind":"noop","input":"` + strings.Repeat("x", maxSubmit) + `"}`, problem.TooLarge},
		"viewer":              {"viewer", "POST", "/v1/tasks", `{"kind":"noop"}`, problem.Forbidden},
		"no such task":        {"viewer", "GET", none, "", problem.NotFound},
		"strange id":          {"viewer", "GET", "/v1/tasks/..%2f..", "", problem.NotFound},
		"bad wait":            {"viewer", "GET", none + "?wait=soon", "", problem.Invalid},
		"bad state":           {"viewer", "GET", "/v1/tasks?state=lost", "", problem.Invalid},
		"bad limit":           {"viewer", "GET", "/v1/tasks?limit=1001", "", problem.Invalid},
		"bad after":           {"viewer", "GET", "/v1/tasks?after=x", "", problem.Invalid},
		"operator leases":     {"operator", "POST", "/v1/tasks:lease", lease1, problem.Forbidden},
		"coordinator leases":  {"coordinator/c2", "POST", "/v1/tasks:lease", lease1, problem.Forbidden},
		"for another":         {"agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-2","kinds":["noop"]}`, problem.Forbidden},
		"pending node":        {"agent/pi-2", "POST", "/v1/tasks:lease", `{"node":"pi-2","kinds":["noop"]}`, problem.Forbidden},
		"no kinds":            {"agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-1","kinds":[]}`, problem.Invalid},
		"unknown kind":        {"agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-1","kinds":["shell"]}`, problem.Invalid},
		"operator releases":   {"operator", "POST", "/v1/tasks:release", `{"node":"pi-1","grant":"g"}`, problem.Forbidden},
		"release for another": {"agent/pi-1", "POST", "/v1/tasks:release", `{"node":"pi-2","grant":"g"}`, problem.Forbidden},
		"release of nothing":  {"agent/pi-1", "POST", "/v1/tasks:release", `{"node":"pi-1"}`, problem.Invalid},
		"long grant":          {"agent/pi-1", "POST", "/v1/tasks:release", `{"node":"pi-1","grant":"` + strings.Repeat("g", 129) + `"}`, problem.Invalid},
		"too many":            {"agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-1","kinds":["noop"],"max":65}`, problem.Invalid},
		"bad model":           {"agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-1","kinds":["infer"],"models":["/"]}`, problem.Invalid},
		"complete none":       {"agent/pi-1", "POST", none + ":complete", `{"lease":"1-1"}`, problem.NotFound},
		"bad lease":           {"agent/pi-1", "POST", none + ":complete", `{"lease":"1"}`, problem.Invalid},
		"large result":        {"agent/pi-1", "POST", none + ":complete", `{"lease":"1-1","result":"` + strings.Repeat("x", task.MaxResult) + `"}`, problem.TooLarge},
		"fail none":           {"agent/pi-1", "POST", none + ":fail", `{"lease":"1-1"}`, problem.NotFound},
		"renew none":          {"agent/pi-1", "POST", none + ":renew", `{"lease":"1-1"}`, problem.StaleLease},
		"body of a cancel":    {"operator", "POST", none + ":cancel", `{"force":true}`, problem.Invalid},
		"unknown verb":        {"operator", "POST", none + ":run", "", problem.NotFound},
		"unknown verb of all": {"operator", "POST", "/v1/tasks:run", "", problem.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			if w := l.do(l.as(test.who, test.method, test.target, test.body)); code(w) != test.want {
				t.Errorf("%d %s, want %s", w.Code, w.Body, test.want)
			}
		})
	}
}

// TestTaskWait asks for a task that ends while one waits, and for one that does not.
func TestTaskWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		one := decoded[task.Task](t, l.do(l.as("operator", "POST", "/v1/tasks", `{"kind":"noop"}`)))
		start := time.Now()
		if still := decoded[task.Task](t, l.do(l.as("viewer", "GET", wire.TaskPath(one.ID, "")+"?wait=10s", ""))); still.State != task.Ready || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %s", time.Since(start), still.State)
		}
		time.AfterFunc(3*time.Second, func() {
			if w := l.do(l.as("operator", "POST", wire.TaskPath(one.ID, "cancel"), "")); w.Code != http.StatusOK {
				t.Errorf("cancel: %s", w.Body)
			}
		})
		start = time.Now()
		if ended := decoded[task.Task](t, l.do(l.as("viewer", "GET", wire.TaskPath(one.ID, "")+"?wait=10s", ""))); ended.State != task.Cancelled || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: %s", time.Since(start), ended.State)
		}
	})
}
