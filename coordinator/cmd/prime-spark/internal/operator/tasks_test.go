package operator

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// The ids of the fake's tasks say what becomes of them.
func fakeID(s string) string { return strings.Repeat("0", 26-len(s)) + s }

// queue is a task queue whose tasks never change, except that those that are
// waited for have come to their end.
func queue(mux *http.ServeMux, objects *objects) {
	blank := task.Task{Kind: task.Infer, Model: "blazeface", Priority: 4, MaxAttempts: 10, By: "token:ada", Created: at, Changed: at, Due: at}
	made := func(id string, change func(*task.Task)) task.Task {
		t := blank
		t.ID = fakeID(id)
		change(&t)
		return t
	}
	ready := made("made", func(t *task.Task) { t.State = task.Ready })
	done := made("done", func(t *task.Task) {
		t.State, t.Attempts, t.Node, t.Lease, t.Outcome = task.Done, 2, "pi-1", task.Lease{Epoch: 2, Seq: 77}, task.Completed
		t.Result = json.RawMessage(`{"model_name":"blazeface","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],"data":["{\"label\":\"face\",\"score\":0.918,\"box\":[180.4,62.1,268,174]}"]}]}`)
	})
	crowd := made("bulk", func(t *task.Task) {
		t.State, t.Attempts, t.Node = task.Done, 1, "pi-1"
		t.ResultObject = new(task.ObjectOf([]byte(`{"model_name":"blazeface","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],"data":["{\"label\":\"face of a crowd\",\"score\":0.5,\"box\":[1,2,3,4]}"]}]}`)))
	})
	dead := made("dead", func(t *task.Task) {
		t.State, t.Attempts, t.Node, t.Outcome, t.Error = task.Dead, 10, "pi-2", task.Failed, "The engine panicked\x1b[2J on this task."
	})
	noop := made("gone", func(t *task.Task) {
		t.Kind, t.Model, t.State, t.Deadline = task.Noop, "", task.Cancelled, at.Add(time.Hour)
	})
	held := made("held", func(t *task.Task) {
		t.State, t.Node, t.Attempts, t.Lease = task.Leased, "pi-1", 1, task.Lease{Epoch: 1, Seq: 78}
	})
	all := []task.Task{crowd, dead, done, noop, held, ready}

	mux.HandleFunc("GET /v1/tasks", func(w http.ResponseWriter, r *http.Request) {
		var b wire.TasksBody
		for _, t := range all {
			state := r.FormValue("state")
			if t.ID > r.FormValue("after") && (state == "" || state == string(t.State)) {
				b.Tasks = append(b.Tasks, t.Head())
			}
		}
		if r.FormValue("limit") == "1" && len(b.Tasks) > 1 {
			b.Tasks, b.Next = b.Tasks[:1], b.Tasks[0].ID
		}
		json.NewEncoder(w).Encode(b)
	})
	large := []byte(`{"model_name":"blazeface","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],"data":["{\"label\":\"face of a crowd\",\"score\":0.5,\"box\":[1,2,3,4]}"]}]}`)
	objects.put(large)
	mux.HandleFunc("POST /v1/tasks", func(w http.ResponseWriter, r *http.Request) {
		var spec task.Spec
		err := json.NewDecoder(r.Body).Decode(&spec)
		if err == nil {
			err = spec.Check(time.Now())
		}
		if err != nil {
			problem.Write(w, err)
			return
		}
		t := spec.New(fakeID("made"), "token:ada", at)
		if spec.Kind == task.Noop {
			t.ID = fakeID("held") // never comes to an end
		}
		t.By = fmt.Sprintf("%s, not before %v, key %s", t.By, !t.NotBefore.IsZero(), r.Header.Get(wire.HeaderKey)[:1])
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(t)
	})
	mux.HandleFunc("/v1/tasks/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, verb, _ := strings.Cut(r.PathValue("id"), ":")
		i := slices.IndexFunc(all, func(t task.Task) bool { return t.ID == id })
		if i < 0 {
			problem.Write(w, problem.New(problem.NotFound, "List them with prime-spark tasks list.", "There is no task %s.", id))
			return
		}
		t := all[i]
		switch {
		case verb == "cancel" && t.State == task.Done:
			problem.Write(w, problem.New(problem.Conflict, "Nothing is to be done.", "The task is done."))
			return
		case verb == "cancel":
			t.State = task.Cancelled
		case verb == "requeue":
			t.State, t.Attempts = task.Ready, 0
		case r.FormValue("wait") != "" && t.State == task.Ready:
			t = done
			t.ID = id
		}
		json.NewEncoder(w).Encode(t)
	})
}
