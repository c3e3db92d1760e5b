package lead

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/watch"
)

func TestWhy(t *testing.T) {
	const never = 1 << 62
	for name, test := range map[string]struct {
		death   death
		renewed time.Duration // ago
		decided fsm.NodeState
		over    bool
	}{
		"fresh":                            {},
		"just in time":                     {renewed: task.LeaseFor - 1},
		"too late":                         {renewed: task.LeaseFor, over: true},
		"dead":                             {death: death{true, settled, settled + 1}, renewed: settled + 1, over: true},
		"dead, never renewed":              {death: death{true, settled, never}, renewed: settled, over: true},
		"dead for a moment":                {death: death{true, settled - 1, never}, renewed: 5 * time.Second},
		"dead, but leased a moment ago":    {death: death{true, time.Minute, never}, renewed: settled - 1},
		"dead, but renews":                 {death: death{true, 10 * time.Second, missed - 1}, renewed: missed - 1},
		"dead, renewed once and not again": {death: death{true, 10 * time.Second, missed}, renewed: missed, over: true},
		"silent, and not dead":             {death: death{silent: 14 * time.Second}, renewed: 14 * time.Second},
		"draining":                         {renewed: time.Second, decided: fsm.Draining},
		"revoked":                          {decided: fsm.Revoked, over: true},
	} {
		if got := why(test.death, test.renewed, test.decided); (got != "") != test.over {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A farm is a leader with the real state machine, and the agents pi-1 and pi-2.
type farm struct {
	*testing.T
	*fsm.FSM
	mu    sync.Mutex
	index uint64
	died  *watch.Value[map[string]time.Time]
	*Leases
}

func (f *farm) Propose(_ context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return nil, err
	}
	f.index++
	r := f.Apply(&raft.Log{Index: f.index, Data: data}).(fsm.Result)
	if r.Err != nil {
		return nil, r.Err
	}
	return json.Marshal(r.Value)
}

func (f *farm) Read(context.Context) (fsm.State, error) {
	s, _ := f.State()
	return s, nil
}

func newFarm(t *testing.T) *farm {
	f := &farm{T: t, FSM: fsm.New(), died: watch.New(map[string]time.Time{})}
	f.Leases = NewLeases(f, f.dead, slog.New(slog.DiscardHandler))
	f.must(fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("c1")}, Token: fsm.TokenCreate{ID: "t", Name: "admin", Hash: fsm.Hash("t"), Access: fsm.Admin}})
	f.must(fsm.CodeCreate{ID: "k", Hash: fsm.Hash("s"), Role: fleet.Agent, Uses: 9, Expires: time.Now().Add(time.Hour)})
	for _, name := range []string{"pi-1", "pi-2"} {
		f.must(fsm.NodeJoin{Code: "k", Hash: fsm.Hash("s"), Name: name, Role: fleet.Agent, Key: fsm.Hash(name)})
	}
	return f
}

func (f *farm) dead() map[string]time.Duration {
	all := map[string]time.Duration{}
	for name, at := range f.died.Get() {
		all[name] = time.Since(at)
	}
	return all
}

func (f *farm) must(c fsm.Command) {
	f.Helper()
	if _, err := f.Propose(f.Context(), "token:ada", c); err != nil {
		f.Fatal(err)
	}
}

// leased submits a task, has a node lease it and returns it.
func (f *farm) leased(node string) task.Task {
	f.Helper()
	id := task.NewID(time.Now())
	f.must(fsm.TaskBatch{Ops: []fsm.TaskOp{
		{Submit: &fsm.TaskSubmit{ID: id, Spec: task.Spec{Kind: task.Noop}}},
		{Lease: &fsm.TaskLease{Node: node, Kinds: []task.Kind{task.Noop}, Max: 1, Grant: id}},
	}})
	return f.now(id)
}

func (f *farm) now(id string) task.Task {
	s, _ := f.State()
	t, _ := s.Tasks.Get(id)
	return t
}

// renew renews a task's lease every five seconds for a time.
func (f *farm) renew(t task.Task, d time.Duration) (err error) {
	for end := time.Now().Add(d); time.Now().Before(end) && err == nil; {
		err = f.Renew(f.Context(), Renewal{t.Node, t.ID, t.Lease})
		time.Sleep(task.RenewEvery)
	}
	return err
}

// lead runs the leader's loops for tasks, until stop.
func (f *farm) lead() (stop func()) {
	leading := watch.New(true)
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Part(leading, slog.New(slog.DiscardHandler), f.Leases, Tick(f, slog.New(slog.DiscardHandler))).Run(ctx)
	}()
	return func() { cancel(); <-done }
}

func TestLeasesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		defer f.lead()()
		kept, lost := f.leased("pi-1"), f.leased("pi-2")
		if err := f.renew(kept, time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := f.now(kept.ID); got.State != task.Leased || got.Lease != kept.Lease {
			t.Errorf("the lease that was renewed: %+v", got)
		}
		got := f.now(lost.ID)
		if got.Outcome != task.Expired || got.State != task.Ready {
			t.Errorf("the lease that was not: %+v", got)
		}
		if after := got.Changed.Sub(lost.Created); after < task.LeaseFor || after > task.LeaseFor+3*time.Second {
			t.Errorf("it was ready again after %v", after)
		}
		if err := f.Renew(t.Context(), Renewal{"pi-2", lost.ID, lost.Lease}); !problem.Is(err, problem.StaleLease) {
			t.Errorf("a renewal too late: %v", err)
		}
		if err := f.Renew(t.Context(), Renewal{"pi-2", kept.ID, kept.Lease}); !problem.Is(err, problem.StaleLease) {
			t.Errorf("a renewal by another node: %v", err)
		}
	})
}

// TestDeath has both nodes held for dead, of which one goes on renewing.
func TestDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		defer f.lead()()
		synctest.Wait() // it leads, and has forgotten what it knew before
		slandered, dead := f.leased("pi-1"), f.leased("pi-2")
		f.died.Store(map[string]time.Time{"pi-1": time.Now(), "pi-2": time.Now()})
		start := time.Now()
		if err := f.renew(slandered, 12*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := f.now(slandered.ID); got.State != task.Leased {
			t.Errorf("a task of a node that renews was taken away: %+v", got)
		}
		got := f.now(dead.ID)
		if got.Error != "its node died" || got.Changed.Sub(start) > settled+2*time.Second {
			t.Errorf("the dead node's task after %v: %+v", got.Changed.Sub(start), got)
		}
	})
}

// TestNewLeaderTakesNothingAway lets the lead change, again and again, shortly
// before leases would end: they begin anew each time. A revoked node loses its own.
func TestNewLeaderTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		one := f.leased("pi-1")
		for range 3 {
			stop := f.lead()
			time.Sleep(task.LeaseFor - time.Second)
			stop()
		}
		if got := f.now(one.ID); got.State != task.Leased || got.Lease != one.Lease {
			t.Errorf("after three elections: %+v", got)
		}
		defer f.lead()()
		f.must(fsm.NodeRevoke{Name: "pi-1"})
		time.Sleep(time.Second)
		if got := f.now(one.ID); got.Outcome != task.Expired {
			t.Errorf("a revoked node holds %+v", got)
		}
	})
}

// TestTickIsOnTime schedules tasks and looks when they become ready.
func TestTickIsOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFarm(t)
		defer f.lead()()
		var ids []string
		for i := range 5 {
			id := task.NewID(time.Now())
			ids = append(ids, id)
			f.must(fsm.TaskBatch{Ops: []fsm.TaskOp{{Submit: &fsm.TaskSubmit{ID: id, Spec: task.Spec{
				Kind: task.Noop, NotBefore: time.Now().Add(time.Duration(5-i) * time.Hour), Deadline: time.Now().Add(10 * time.Hour),
			}}}}})
		}
		before, _ := f.State()
		time.Sleep(5*time.Hour + time.Second)
		for i, id := range ids {
			got := f.now(id)
			if late := got.Changed.Sub(got.NotBefore); got.State != task.Ready || late < 0 || late > tickPause {
				t.Errorf("task %d is %s, %v late", i, got.State, late)
			}
		}
		after, _ := f.State()
		if n := after.Index - before.Index; n != 5 {
			t.Errorf("%d entries for 5 times", n)
		}
		time.Sleep(5 * time.Hour)
		if got := f.now(ids[0]); got.State != task.Dead {
			t.Errorf("past its deadline: %+v", got)
		}
	})
}

func TestAnswerRefusesNonsense(t *testing.T) {
	f := newFarm(t)
	for _, body := range []string{"", "x", `{"lease":"1"}`} {
		if err := f.Answer(t.Context(), []byte(body)); !problem.Is(err, problem.Invalid) {
			t.Errorf("%q: %v", body, err)
		}
	}
	if err := f.Answer(t.Context(), fmt.Appendf(nil, `{"id":%q,"lease":"1-1"}`, task.NewID(time.Now()))); !problem.Is(err, problem.NotFound) {
		t.Errorf("a task that is not there: %v", err)
	}
}
