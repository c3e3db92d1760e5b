package systest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/testphoto"
	"primespark/shared/wire"
)

// An office is an operator who hands tasks in.
type office struct {
	t *testing.T
	*systest.Client
}

// submit hands a task in.
func (o office) submit(spec task.Spec) task.Task {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), 30*time.Second)
	defer cancel()
	t, err := o.SubmitTask(ctx, spec, "")
	if err != nil {
		o.t.Fatalf("submit: %v", err)
	}
	return t
}

// until waits for a task of which ok holds, and returns it and how long that took.
func (o office) until(id, what string, limit time.Duration, ok func(task.Task) bool) (task.Task, time.Duration) {
	o.t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(o.t.Context(), limit)
	defer cancel()
	for {
		t, err := o.Task(ctx, id, 0)
		if err == nil && ok(t) {
			return t, time.Since(begin)
		}
		if !run.Sleep(ctx, 50*time.Millisecond) {
			o.t.Fatalf("task %s: not %s within %v; last %+v, %v", id, what, limit, t, err)
		}
	}
}

func leased(t task.Task) bool { return t.State == task.Leased }
func ended(t task.Task) bool  { return t.State.Final() }

// noop is a task that takes so long and then fails, if fail says how.
func noop(d time.Duration, fail string) task.Spec {
	input, err := json.Marshal(task.NoopInput{Millis: int(d.Milliseconds()), Fail: fail})
	if err != nil {
		panic(err)
	}
	return task.Spec{Kind: task.Noop, Input: input}
}

// other is the agent that is not the one named, of pi-1 and pi-2.
func other(name string) string { return map[string]string{"pi-1": "pi-2", "pi-2": "pi-1"}[name] }

// TestTaskIsDone: a photo that is handed in is looked at by an agent.
func TestTaskIsDone(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1", "c2", "c3")}
		input, err := json.Marshal(task.InferInput{Image: testphoto.Astronaut()})
		if err != nil {
			t.Fatal(err)
		}
		made := o.submit(task.Spec{Kind: task.Infer, Model: systest.Model, Input: input})
		got, took := o.until(made.ID, "done", 30*time.Second, ended)
		t.Logf("done %v after it was handed in", took)
		if got.State != task.Done || got.Attempts != 1 || !strings.Contains(string(got.Result), `\"label\":\"face\"`) {
			t.Errorf("the task ended %s after %d attempts with %s, %s; want a face", got.State, got.Attempts, got.Result, got.Error)
		}
	})
}

// TestLargePhotoIsDone: a photo that is too large for a task is handed in as an
// object, and looked at although the coordinator that took it has died.
func TestLargePhotoIsDone(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		photo := append(testphoto.Astronaut(), make([]byte, 5<<20)...) // what follows the image, nobody looks at
		kept, err := f.Via("c1").PutObject(t.Context(), photo)
		if err != nil || len(kept.Holders) != 2 || kept.Holders[0] != "c1" {
			t.Fatalf("handed in: %+v, %v", kept, err)
		}
		f.Kill("c1")
		o := office{t, f.Via("c2", "c3")}
		input, err := json.Marshal(task.InferInput{Object: &kept.Object})
		if err != nil {
			t.Fatal(err)
		}
		made := o.submit(task.Spec{Kind: task.Infer, Model: systest.Model, Input: input})
		got, took := o.until(made.ID, "done", 30*time.Second, ended)
		t.Logf("done %v after it was handed in", took)
		if got.State != task.Done || got.Attempts != 1 || !strings.Contains(string(got.Result), `\"label\":\"face\"`) {
			t.Errorf("the task ended %s after %d attempts with %s, %s; want a face", got.State, got.Attempts, got.Result, got.Error)
		}
	})
}

// TestAgentDiesMidTask: the other agent does the task, and it is done once.
func TestAgentDiesMidTask(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1", "c2", "c3")}
		made := o.submit(noop(4*time.Second, ""))
		held, _ := o.until(made.ID, "leased", 15*time.Second, leased)
		f.Kill(held.Node)
		_, took := o.until(made.ID, "with the other agent", 30*time.Second, func(t task.Task) bool { return leased(t) && t.Node == other(held.Node) })
		t.Logf("with the other agent %v after the death", took)
		if took > 20*time.Second {
			t.Errorf("the task moved %v after its agent's death, want 20s at most", took)
		}
		got, _ := o.until(made.ID, "done", 15*time.Second, ended)
		if got.State != task.Done || got.Attempts != 2 || got.Node != other(held.Node) {
			t.Errorf("the task ended %s after %d attempts on %s, want done after 2 on %s", got.State, got.Attempts, got.Node, other(held.Node))
		}
	})
}

// TestAgentStopsMidTask: an agent that is stopped gives back what it holds, which
// counts as no attempt.
func TestAgentStopsMidTask(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1")}
		made := o.submit(noop(20*time.Second, ""))
		held, _ := o.until(made.ID, "leased", 15*time.Second, leased)
		f.Stop(held.Node)
		_, took := o.until(made.ID, "with the other agent", 30*time.Second, func(t task.Task) bool { return leased(t) && t.Node == other(held.Node) })
		if took > 5*time.Second {
			t.Errorf("the task moved %v after its agent was stopped, want 5s at most", took)
		}
		if got, _ := o.until(made.ID, "done", time.Minute, ended); got.State != task.Done || got.Attempts != 1 {
			t.Errorf("the task ended %s after %d attempts, want done after 1", got.State, got.Attempts)
		}
	})
}

// TestAgentStopsBeforeItsLeaseArrives: an agent is stopped while the answer that gives
// it a task is still on its way. The other one has the task at once, as its first attempt.
func TestAgentStopsBeforeItsLeaseArrives(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1")}
		if _, err := o.NodeAction(t.Context(), "pi-2", wire.Drain); err != nil { // so that the task goes to pi-1
			t.Fatal(err)
		}
		time.Sleep(11 * time.Second) // pi-1 has asked anew, and waits
		f.Hush("c1", "pi-1")
		made := o.submit(noop(100*time.Millisecond, ""))
		if got, _ := o.until(made.ID, "leased", 5*time.Second, leased); got.Node != "pi-1" {
			t.Fatalf("the task is with %s, want pi-1", got.Node)
		}
		if _, err := o.NodeAction(t.Context(), "pi-2", wire.Undrain); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // pi-2 has heard of it, and waits too
		f.Term("pi-1")
		got, took := o.until(made.ID, "done", 30*time.Second, ended)
		if got.State != task.Done || got.Node != "pi-2" || got.Attempts != 1 || took > time.Second {
			t.Errorf("the task ended %s on %s after %d attempts, %v after the stop; want done on pi-2 after 1, within 1s", got.State, got.Node, got.Attempts, took)
		}
	})
}

// TestLeaderDiesWithTasks: what was accepted is done, each by one lease after another.
func TestLeaderDiesWithTasks(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		status := f.WaitHealthy(3, 2)
		o := office{t, f.Via(others(status, status.Leader)...)}
		var ids []string
		for range 20 {
			ids = append(ids, o.submit(noop(500*time.Millisecond, "")).ID)
		}
		f.Kill(status.Leader)
		for range 5 { // while nobody leads, too
			ids = append(ids, o.submit(noop(500*time.Millisecond, "")).ID)
		}
		needless := 0
		for _, id := range ids {
			got, _ := o.until(id, "done", time.Minute, ended)
			if got.State != task.Done {
				t.Errorf("task %s ended %s: %s", id, got.State, got.Error)
			}
			needless += got.Attempts - 1
		}
		// A lease that was on its way when the leader died may be lost with it.
		if t.Logf("%d attempts more than tasks", needless); needless > 2 {
			t.Errorf("%d tasks were begun anew, want 2 at most, one of each agent", needless)
		}
	})
}

// TestCutOffAgent: an agent that comes back after its lease has passed on changes nothing.
func TestCutOffAgent(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1", "c2", "c3")}
		made := o.submit(noop(5*time.Second, ""))
		held, _ := o.until(made.ID, "leased", 15*time.Second, leased)
		f.Isolate(held.Node)
		got, took := o.until(made.ID, "done", time.Minute, ended)
		t.Logf("done by the other %v after the cut", took)
		if got.State != task.Done || got.Node != other(held.Node) {
			t.Fatalf("the task ended %s on %s, want done on %s", got.State, got.Node, other(held.Node))
		}
		f.Heal()
		late := f.Member(held.Node, "c1", "c2", "c3")
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := late.RenewTask(ctx, made.ID, held.Lease); !problem.Is(err, problem.StaleLease) {
			t.Errorf("renewal of the old lease: %v, want stale_lease", err)
		}
		again, err := o.Task(ctx, made.ID, 0)
		if err != nil || again.Lease != got.Lease || again.Node != got.Node || !again.Changed.Equal(got.Changed) {
			t.Errorf("the task has changed after all: %+v, %v", again, err)
		}
		next := o.submit(noop(0, ""))
		o.until(next.ID, "done", time.Minute, ended)
	})
}

// TestPoison: a task that fails each time is put aside, and the others go on.
func TestPoison(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1")}
		poison := noop(time.Second, "poison")
		poison.MaxAttempts = 3
		bad := o.submit(poison)
		var ids []string
		for range 10 {
			ids = append(ids, o.submit(noop(500*time.Millisecond, "")).ID)
		}
		for _, id := range ids {
			if got, _ := o.until(id, "done", 30*time.Second, ended); got.State != task.Done || got.Attempts != 1 {
				t.Errorf("a good task ended %s after %d attempts", got.State, got.Attempts)
			}
		}
		got, _ := o.until(bad.ID, "dead", time.Minute, ended)
		if got.State != task.Dead || got.Attempts != 3 || !strings.Contains(got.Error, "poison") {
			t.Errorf("the bad task is %s after %d attempts: %s; want it dead after 3", got.State, got.Attempts, got.Error)
		}
		again, err := o.RequeueTask(t.Context(), bad.ID)
		if err != nil || again.State.Final() {
			t.Errorf("requeued: %s, %v", again.State, err)
		}
		o.until(bad.ID, "dead again", time.Minute, ended)
	})
}

// TestPriorities: one agent takes first what is most urgent, and what is
// cancelled is stopped where it is.
func TestPriorities(t *testing.T) {
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		o := office{t, f.Via("c1")}
		long := o.submit(noop(5*time.Minute, ""))
		o.until(long.ID, "leased", 15*time.Second, leased)
		var ids []string
		for _, priority := range []int{7, 4, 0, 2} {
			spec := noop(time.Second, "")
			spec.Priority = &priority
			ids = append(ids, o.submit(spec).ID)
		}
		begin := time.Now()
		if _, err := o.CancelTask(t.Context(), long.ID); err != nil {
			t.Fatal(err)
		}
		var order []string
		at := map[string]time.Time{}
		for i, id := range ids {
			got, _ := o.until(id, "done", time.Minute, ended)
			at[fmt.Sprint(i)] = got.Changed
			order = append(order, fmt.Sprint(i))
		}
		slices.SortFunc(order, func(a, b string) int { return at[a].Compare(at[b]) })
		if want := []string{"2", "3", "1", "0"}; !slices.Equal(order, want) {
			t.Errorf("done in the order %v, want %v", order, want)
		}
		// The holder hears of it with its next renewal.
		if took := at["2"].Sub(begin); took > task.RenewEvery+2*time.Second {
			t.Errorf("the first was done %v after the long one was cancelled", took)
		}
	})
}
