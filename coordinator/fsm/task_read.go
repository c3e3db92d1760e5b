package fsm

import (
	"iter"
	"strings"
	"time"

	"primespark/shared/task"
)

// Get finds a task.
func (ts Tasks) Get(id string) (task.Task, bool) {
	r, ok := ts.rows.Get(id)
	if !ok {
		return task.Task{}, false
	}
	return r.Task, true
}

// Refers reports whether a task refers to an object of that SHA-256.
func (ts Tasks) Refers(sha string) bool {
	_, ok := ts.objects.Get(sha)
	return ok
}

// Count is how many tasks are in a state.
func (ts Tasks) Count(s task.State) int { return ts.states[ordinal(s)] }

// After returns at most limit tasks that were submitted after that id, from the
// first if it is empty, in that order: those in a state, or all if it is empty.
func (ts Tasks) After(id string, s task.State, limit int) []task.Task {
	found := []task.Task{}
	add := func(next string) bool {
		if t, ok := ts.Get(next); ok && next != id {
			found = append(found, t.Head())
		}
		return len(found) < limit
	}
	if s == "" {
		for next := range ts.rows.From(id) {
			if !add(next) {
				break
			}
		}
		return found
	}
	for key := range ts.byState.From(string(s) + "/" + id) {
		if !strings.HasPrefix(key, string(s)+"/") || !add(idIn(key)) {
			break
		}
	}
	return found
}

// Held runs through the tasks that are leased, by node.
func (ts Tasks) Held() iter.Seq[task.Task] { return ts.heldFrom("") }

func (ts Tasks) heldFrom(key string) iter.Seq[task.Task] {
	return func(yield func(task.Task) bool) {
		for key := range ts.held.From(key) {
			if t, ok := ts.Get(idIn(key)); !ok || !yield(t) {
				return
			}
		}
	}
}

// heldBy runs through the tasks that a node has leased.
func (ts Tasks) heldBy(node string) iter.Seq[task.Task] {
	return func(yield func(task.Task) bool) {
		for t := range ts.heldFrom(node + "/") {
			if t.Node != node || !yield(t) {
				return
			}
		}
	}
}

// first is the task that a node that does these kinds with these models (any, if
// none are named) should do first.
func (ts Tasks) first(kinds []task.Kind, models []string) (best task.Task, ok bool) {
	try := func(queue string) (key string) {
		for key = range ts.ready.From(queue) {
			if t, there := ts.Get(idIn(key)); there && strings.HasPrefix(key, queue) && (!ok || before(t, best)) {
				best, ok = t, true
			}
			return key
		}
		return ""
	}
	for _, kind := range kinds {
		switch {
		case kind != task.Infer:
			try(queueOf(kind, ""))
		case len(models) > 0:
			for _, m := range models {
				try(queueOf(kind, m))
			}
		default: // the first of each queue there is
			for at := string(kind) + "/"; ; {
				key := ""
				for key = range ts.ready.From(at) {
					break
				}
				queue, _, _ := strings.Cut(key, "\x00")
				if !strings.HasPrefix(queue, string(kind)+"/") {
					break
				}
				try(queue + "\x00")
				at = queue + "\x01"
			}
		}
	}
	return best, ok
}

// before reports whether a is to be done before b.
func before(a, b task.Task) bool {
	if x, y := a.Rank().UnixMilli(), b.Rank().UnixMilli(); x != y {
		return x < y
	}
	return a.ID < b.ID
}

// Waiting reports whether there is a task for a node that does these kinds with
// these models, any if none are named.
func (ts Tasks) Waiting(kinds []task.Kind, models []string) bool {
	_, ok := ts.first(kinds, models)
	return ok
}

// Next is when a tick has something to do; zero for never.
func (ts Tasks) Next() time.Time {
	var next time.Time
	for key := range ts.timers.From("") {
		r, _ := ts.rows.Get(idIn(key))
		next = timer(r.Task)
		break
	}
	for _, name := range ts.lapses.From("") {
		if i, _ := ts.keys.Get(name); next.IsZero() || i.Until.Before(next) {
			next = i.Until
		}
		break
	}
	return next
}

// Granted are the tasks of a grant that a node holds.
func (ts Tasks) Granted(node, grant string) (held []task.Task) {
	for t := range ts.heldBy(node) {
		if t.Grant == grant {
			held = append(held, t)
		}
	}
	return held
}
