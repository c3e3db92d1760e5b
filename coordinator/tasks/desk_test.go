package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// fsync is how long an entry takes.
const fsync = 10 * time.Millisecond

// A farm is a raft group of one with the real state machine, the agents pi-1 to
// pi-9, and a desk.
type farm struct {
	*testing.T
	*fsm.FSM
	*Desk
	mu      sync.Mutex
	index   uint64
	entries int   // that tasks took
	down    error // what Propose and Read return
	asked   []byte
}

func (f *farm) State() (fsm.State, <-chan struct{}) { return f.FSM.State() }

func (f *farm) Read(context.Context) (fsm.State, error) {
	s, _ := f.State()
	return s, f.down
}

func (f *farm) Ask(_ context.Context, body []byte) error {
	f.asked = body
	return f.down
}

func (f *farm) Propose(_ context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	time.Sleep(fsync)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	data, err := fsm.Encode(time.Now(), actor, c)
	if err != nil {
		return nil, err
	}
	if err := fsm.Check(data); err != nil {
		return nil, err
	}
	f.index++
	if c.Kind() == fsm.KindTasks {
		f.entries++
	}
	r := f.Apply(&raft.Log{Index: f.index, Data: data}).(fsm.Result)
	if r.Err != nil {
		return nil, r.Err
	}
	return json.Marshal(r.Value)
}

// inBubble runs a story with a farm whose desk runs.
func inBubble(t *testing.T, story func(t *testing.T, f *farm)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &farm{T: t, FSM: fsm.New()}
		f.Desk = New(f, prometheus.NewRegistry())
		f.must(fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Key: fsm.Hash("c1")}, Token: fsm.TokenCreate{ID: "t", Name: "admin", Hash: fsm.Hash("t"), Access: fsm.Admin}})
		f.must(fsm.CodeCreate{ID: "k", Hash: fsm.Hash("s"), Role: fleet.Agent, Uses: 9, Expires: time.Now().Add(time.Hour)})
		for i := range 9 {
			name := fmt.Sprintf("pi-%d", i+1)
			f.must(fsm.NodeJoin{Code: "k", Hash: fsm.Hash("s"), Name: name, Role: fleet.Agent, Key: fsm.Hash(name)})
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Desk.Run(ctx) }()
		story(t, f)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (f *farm) must(c fsm.Command) {
	f.Helper()
	if _, err := f.Propose(f.Context(), "token:ada", c); err != nil {
		f.Fatal(err)
	}
}

func submission() fsm.TaskOp {
	return fsm.TaskOp{Actor: "token:ada", Submit: &fsm.TaskSubmit{ID: task.NewID(time.Now()), Spec: task.Spec{Kind: task.Noop}}}
}

func (f *farm) submit() task.Task {
	f.Helper()
	t, err := f.Do(f.Context(), submission())
	if err != nil {
		f.Fatal(err)
	}
	return t
}

func noops(node string, most int) fsm.TaskLease {
	return fsm.TaskLease{Node: node, Kinds: []task.Kind{task.Noop}, Max: most, Grant: task.NewID(time.Now())}
}

// TestOperationsShareEntries has many callers at once.
func TestOperationsShareEntries(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		start := time.Now()
		var all sync.WaitGroup
		for range 400 {
			all.Go(func() {
				if got, err := f.Do(t.Context(), submission()); err != nil || got.State != task.Ready {
					t.Errorf("submitted %v, %v", got.State, err)
				}
			})
		}
		all.Wait()
		s, _ := f.State()
		if n := s.Tasks.Count(task.Ready); n != 400 || f.entries > 4 || time.Since(start) > 5*fsync {
			t.Errorf("%d tasks in %d entries, %v", n, f.entries, time.Since(start))
		}
	})
}

// TestOneRefusalIsNobodyElses puts a good and a bad operation into one entry.
func TestOneRefusalIsNobodyElses(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				op, want := submission(), problem.Code("")
				if i%2 == 0 {
					op, want = fsm.TaskOp{Cancel: &fsm.TaskCancel{ID: "none"}}, problem.NotFound
				}
				if _, err := f.Do(t.Context(), op); err != nil && !problem.Is(err, want) || err == nil && want != "" {
					t.Errorf("operation %d: %v", i, err)
				}
			})
		}
		all.Wait()
		f.down = problem.New(problem.NoLeader, "Wait.", "Nobody leads.")
		if _, err := f.Do(t.Context(), submission()); !problem.Is(err, problem.NoLeader) {
			t.Errorf("without a leader: %v", err)
		}
		if _, err := f.Lease(t.Context(), noops("pi-1", 1), time.Minute); !problem.Is(err, problem.NoLeader) {
			t.Errorf("a lease without a leader: %v", err)
		}
		f.down = nil
		f.submit() // and it goes on
	})
}

// TestLeaseWaits asks for work before there is any.
func TestLeaseWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		start, before := time.Now(), f.entries
		got, err := f.Lease(t.Context(), noops("pi-1", 1), 20*time.Second)
		if err != nil || len(got) != 0 || time.Since(start) != 20*time.Second || f.entries != before {
			t.Errorf("with no work: %v, %v after %v, %d entries", got, err, time.Since(start), f.entries-before)
		}
		time.AfterFunc(7*time.Second, func() { f.submit() })
		start = time.Now()
		got, err = f.Lease(t.Context(), noops("pi-1", 5), 20*time.Second)
		if err != nil || len(got) != 1 || got[0].Node != "pi-1" || time.Since(start) > 7*time.Second+5*fsync {
			t.Errorf("with work after 7 s: %v, %v after %v", got, err, time.Since(start))
		}
	})
}

// TestEachTaskWakesOne has eight agents wait for three tasks: each is given once,
// and the others are not woken for nothing.
func TestEachTaskWakesOne(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		var mu sync.Mutex
		given := map[string]string{}
		var all sync.WaitGroup
		for i := range 8 {
			node := fmt.Sprintf("pi-%d", i+1)
			all.Go(func() {
				got, err := f.Lease(t.Context(), noops(node, 2), 10*time.Second)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("%s: %v", node, err)
				}
				for _, one := range got {
					if other := given[one.ID]; other != "" {
						t.Errorf("%s is given to %s and %s", one.ID, other, node)
					}
					given[one.ID] = node
				}
			})
		}
		synctest.Wait()
		for range 3 {
			f.submit()
			time.Sleep(time.Second)
		}
		all.Wait()
		if len(given) != 3 || f.entries != 6 {
			t.Errorf("given %v in %d entries, want 3 and 6", given, f.entries)
		}
	})
}

// TestWhoGoesAwayKeepsNothing ends a wait in the moment in which there is work.
func TestWhoGoesAwayKeepsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := f.Lease(ctx, noops("pi-1", 1), 20*time.Second)
			gone <- err
		}()
		synctest.Wait()
		stays := make(chan []task.Task, 1)
		go func() {
			got, err := f.Lease(t.Context(), noops("pi-2", 1), 20*time.Second)
			if err != nil {
				t.Error(err)
			}
			stays <- got
		}()
		synctest.Wait()
		cancel()
		f.submit()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who went away: %v", err)
		}
		if got := <-stays; len(got) != 1 {
			t.Errorf("the one who stays gets %v", got)
		}
	})
}

func TestDrainingAndStrangers(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.must(fsm.NodeDrain{Name: "pi-1"})
		f.submit()
		start := time.Now()
		if got, err := f.Lease(t.Context(), noops("pi-1", 1), 5*time.Second); err != nil || len(got) != 0 || time.Since(start) != 5*time.Second {
			t.Errorf("a draining node gets %v, %v after %v", got, err, time.Since(start))
		}
		time.AfterFunc(time.Second, func() { f.must(fsm.NodeUndrain{Name: "pi-1"}) })
		if got, err := f.Lease(t.Context(), noops("pi-1", 1), 5*time.Second); err != nil || len(got) != 1 {
			t.Errorf("and then %v, %v", got, err)
		}
		if _, err := f.Lease(t.Context(), noops("pi-x", 1), 5*time.Second); !problem.Is(err, problem.Forbidden) {
			t.Errorf("a stranger: %v", err)
		}
	})
}

// TestLeaseAgain sends a lease call again whose answer got lost.
func TestLeaseAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.submit()
		f.submit()
		call := noops("pi-1", 1)
		first, err := f.Lease(t.Context(), call, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := f.Lease(t.Context(), call, 0)
		if err != nil || len(first) != 1 || len(again) != 1 || first[0].Lease != again[0].Lease {
			t.Errorf("leased %v, and again %v, %v", first, again, err)
		}
		if err := f.Renew(t.Context(), "pi-1", first[0].ID, first[0].Lease); err != nil || string(f.asked) != fmt.Sprintf(`{"node":"pi-1","id":%q,"lease":"1-1"}`, first[0].ID) {
			t.Errorf("renew: %v, asked %s", err, f.asked)
		}
	})
}

// TestTheDeadAreGivenNothing: a task does not go to the call that a node left
// behind when it died, but to the next who waits. A node that has only just asked
// is not dead, whatever is thought of it.
func TestTheDeadAreGivenNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, f *farm) {
		f.Gone = func(node string) bool { return node == "pi-1" }
		type answer struct {
			got []task.Task
			err error
		}
		ask := func(node string) chan answer {
			c := make(chan answer, 1)
			go func() {
				got, err := f.Lease(f.Context(), fsm.TaskLease{Node: node, Grant: "g-" + node, Kinds: []task.Kind{task.Noop}, Max: 1}, 30*time.Second)
				c <- answer{got, err}
			}()
			synctest.Wait()
			return c
		}
		dead, alive := ask("pi-1"), ask("pi-2")
		time.Sleep(2 * time.Second)
		first := f.submit()
		if a := <-dead; !problem.Is(a.err, problem.NotReady) {
			t.Errorf("the dead node was given %+v, %v", a.got, a.err)
		}
		if a := <-alive; a.err != nil || len(a.got) != 1 || a.got[0].ID != first.ID {
			t.Errorf("the next node was given %+v, %v", a.got, a.err)
		}
		back := ask("pi-1")
		second := f.submit()
		if a := <-back; a.err != nil || len(a.got) != 1 || a.got[0].ID != second.ID {
			t.Errorf("the node that is back was given %+v, %v", a.got, a.err)
		}
	})
}
