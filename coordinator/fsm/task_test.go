package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/task"
)

// id is the id of the n-th task of a test.
func id(n int) string { return fmt.Sprintf("%0*d", task.IDLen, n) }

// taskSamples are one of each operation; all succeed.
var taskSamples = TaskBatch{Ops: []TaskOp{
	{Actor: "token:ada", Key: "once", Hash: Hash("call"), Submit: &TaskSubmit{ID: id(1), Spec: task.Spec{
		Kind: task.Infer, Model: "blazeface", Input: json.RawMessage(`{"image":"/9j/4A=="}`), Priority: new(2), Deadline: noon.Add(time.Hour), MaxAttempts: 3,
	}}},
	{Submit: &TaskSubmit{ID: id(2), Spec: task.Spec{Kind: task.Noop}}},
	{Submit: &TaskSubmit{ID: id(3), Spec: task.Spec{Kind: task.Noop, NotBefore: noon.Add(time.Minute)}}},
	{Actor: "agent:pi-1", Lease: &TaskLease{Node: "pi-1", Kinds: []task.Kind{task.Infer, task.Noop}, Models: []string{"blazeface"}, Max: 2, Grant: "g1"}},
	{Actor: "agent:pi-1", Complete: &TaskComplete{ID: id(1), Node: "pi-1", Lease: task.Lease{Epoch: 1, Seq: 1}, Result: json.RawMessage(`{"faces":1}`), ResultRef: "pi-1/1"}},
	{Actor: "agent:pi-1", Fail: &TaskFail{ID: id(2), Node: "pi-1", Lease: task.Lease{Epoch: 1, Seq: 2}, Error: "no light", Permanent: true, Draw: 7}},
	{Requeue: &TaskRequeue{ID: id(2)}},
	{Cancel: &TaskCancel{ID: id(2)}},
	{Expire: &TaskExpire{Leases: []Expiry{{ID: id(1), Lease: task.Lease{Epoch: 1, Seq: 1}, Draw: 7, Why: "its node died"}}}},
	{Tick: &TaskTick{}},
}}

// A farm is a cluster of c1 and the approved agents pi-1 and pi-2.
type farm struct {
	testing.TB
	*FSM
	index uint64
	at    time.Time
}

func newFarm(t testing.TB) *farm {
	f := &farm{TB: t, FSM: New(), at: noon}
	f.must(ClusterInit{Name: "home", Node: Node{Name: "c1", Key: Hash("c1")}, Token: TokenCreate{ID: "t1", Name: "admin", Hash: Hash("t"), Access: Admin}})
	f.must(CodeCreate{ID: "k", Hash: Hash("secret"), Role: fleet.Agent, Uses: 9, Expires: noon.Add(time.Hour)})
	for _, name := range []string{"pi-1", "pi-2"} {
		f.must(NodeJoin{Code: "k", Hash: Hash("secret"), Name: name, Role: fleet.Agent, Key: Hash(name)})
	}
	return f
}

func (f *farm) must(c Command) any {
	f.Helper()
	f.index++
	r := apply(f, f.FSM, f.index, f.at, c)
	if r.Err != nil {
		f.Fatal(r.Err)
	}
	return r.Value
}

func (f *farm) do(ops ...TaskOp) []TaskAnswer {
	f.Helper()
	return f.must(TaskBatch{Ops: ops}).(TaskResult).Answers
}

func (f *farm) get(n int) task.Task {
	s, _ := f.State()
	t, _ := s.Tasks.Get(id(n))
	return t
}

func submit(n int, change ...func(*task.Spec)) TaskOp {
	s := task.Spec{Kind: task.Noop}
	for _, c := range change {
		c(&s)
	}
	return TaskOp{Submit: &TaskSubmit{ID: id(n), Spec: s}}
}

func lease(node, grant string, most int) TaskOp {
	return TaskOp{Lease: &TaskLease{Node: node, Kinds: []task.Kind{task.Noop, task.Infer}, Max: most, Grant: grant}}
}

func complete(n int, node string, epoch uint32, seq uint64) TaskOp {
	return TaskOp{Complete: &TaskComplete{ID: id(n), Node: node, Lease: task.Lease{Epoch: epoch, Seq: seq}}}
}

func fail(n int, node string, epoch uint32, seq uint64, change ...func(*TaskFail)) TaskOp {
	op := TaskFail{ID: id(n), Node: node, Lease: task.Lease{Epoch: epoch, Seq: seq}, Error: "boom", Draw: 1 << 31}
	for _, c := range change {
		c(&op)
	}
	return TaskOp{Fail: &op}
}

func expire(n int, epoch uint32, seq uint64) TaskOp {
	return TaskOp{Expire: &TaskExpire{Leases: []Expiry{{ID: id(n), Lease: task.Lease{Epoch: epoch, Seq: seq}, Draw: 1 << 31, Why: "silent"}}}}
}

// TestTaskRules begins each case with task 1 leased to pi-1 (lease 1-1), and
// task 2 ready.
func TestTaskRules(t *testing.T) {
	permanent, release := func(f *TaskFail) { f.Permanent = true }, func(f *TaskFail) { f.Release = true }
	tick := TaskOp{Tick: &TaskTick{}}
	for name, test := range map[string]struct {
		first func(*task.Spec) // of task 1
		after []TaskOp
		late  time.Duration // between after and op
		op    TaskOp
		want  problem.Code
		state task.State // of task 1, after it
		tries int
	}{
		"complete":                {op: complete(1, "pi-1", 1, 1), state: task.Done, tries: 1},
		"complete twice":          {after: []TaskOp{complete(1, "pi-1", 1, 1)}, op: complete(1, "pi-1", 1, 1), state: task.Done, tries: 1},
		"complete, not its lease": {op: complete(1, "pi-1", 1, 2), want: problem.StaleLease, state: task.Leased, tries: 1},
		"complete, another node":  {op: complete(1, "pi-2", 1, 1), want: problem.StaleLease, state: task.Leased, tries: 1},
		"complete, expired":       {after: []TaskOp{expire(1, 1, 1)}, op: complete(1, "pi-1", 1, 1), want: problem.StaleLease, state: task.Retryable, tries: 1},
		"complete, cancelled":     {after: []TaskOp{{Cancel: &TaskCancel{id(1)}}}, op: complete(1, "pi-1", 1, 1), want: problem.StaleLease, state: task.Cancelled, tries: 1},
		"complete, never leased":  {op: complete(2, "", 0, 0), want: problem.StaleLease, state: task.Leased, tries: 1},
		"complete, unknown":       {op: complete(9, "pi-1", 1, 1), want: problem.NotFound, state: task.Leased, tries: 1},
		"fail":                    {op: fail(1, "pi-1", 1, 1), state: task.Retryable, tries: 1},
		"fail twice":              {after: []TaskOp{fail(1, "pi-1", 1, 1)}, op: fail(1, "pi-1", 1, 1), state: task.Retryable, tries: 1},
		"fail, then complete":     {after: []TaskOp{fail(1, "pi-1", 1, 1)}, op: complete(1, "pi-1", 1, 1), want: problem.StaleLease, state: task.Retryable, tries: 1},
		"fail after expiry":       {after: []TaskOp{expire(1, 1, 1)}, op: fail(1, "pi-1", 1, 1), want: problem.StaleLease, state: task.Retryable, tries: 1},
		"fail for good":           {op: fail(1, "pi-1", 1, 1, permanent), state: task.Dead, tries: 1},
		"fail the last attempt":   {first: func(s *task.Spec) { s.MaxAttempts = 1 }, op: fail(1, "pi-1", 1, 1), state: task.Dead, tries: 1},
		"expire the last attempt": {first: func(s *task.Spec) { s.MaxAttempts = 1 }, op: expire(1, 1, 1), state: task.Dead, tries: 1},
		"give back":               {op: fail(1, "pi-1", 1, 1, release), state: task.Ready},
		"expire":                  {op: expire(1, 1, 1), state: task.Retryable, tries: 1},
		"expire another lease":    {op: expire(1, 2, 1), state: task.Leased, tries: 1},
		"expire what is done":     {after: []TaskOp{complete(1, "pi-1", 1, 1)}, op: expire(1, 1, 1), state: task.Done, tries: 1},
		// Another leader's clock, or this one's after a jump: who holds a lease keeps it.
		"a year ahead":             {late: 365 * 24 * time.Hour, op: tick, state: task.Leased, tries: 1},
		"a year back":              {late: -365 * 24 * time.Hour, op: tick, state: task.Leased, tries: 1},
		"complete, a year ahead":   {late: 365 * 24 * time.Hour, op: complete(1, "pi-1", 1, 1), state: task.Done, tries: 1},
		"complete, a year back":    {late: -365 * 24 * time.Hour, op: complete(1, "pi-1", 1, 1), state: task.Done, tries: 1},
		"retry too early":          {after: []TaskOp{fail(1, "pi-1", 1, 1)}, late: 499 * time.Millisecond, op: tick, state: task.Retryable, tries: 1},
		"retry":                    {after: []TaskOp{fail(1, "pi-1", 1, 1)}, late: 500 * time.Millisecond, op: tick, state: task.Ready, tries: 1},
		"cancel":                   {op: TaskOp{Cancel: &TaskCancel{id(1)}}, state: task.Cancelled, tries: 1},
		"cancel twice":             {after: []TaskOp{{Cancel: &TaskCancel{id(1)}}}, op: TaskOp{Cancel: &TaskCancel{id(1)}}, state: task.Cancelled, tries: 1},
		"cancel what is done":      {after: []TaskOp{complete(1, "pi-1", 1, 1)}, op: TaskOp{Cancel: &TaskCancel{id(1)}}, want: problem.Conflict, state: task.Done, tries: 1},
		"requeue the dead":         {after: []TaskOp{fail(1, "pi-1", 1, 1, permanent)}, op: TaskOp{Requeue: &TaskRequeue{ID: id(1)}}, state: task.Ready},
		"requeue the cancelled":    {after: []TaskOp{{Cancel: &TaskCancel{id(1)}}}, op: TaskOp{Requeue: &TaskRequeue{ID: id(1)}}, state: task.Ready},
		"requeue what is done":     {after: []TaskOp{complete(1, "pi-1", 1, 1)}, op: TaskOp{Requeue: &TaskRequeue{ID: id(1)}}, want: problem.Conflict, state: task.Done, tries: 1},
		"requeue what runs":        {op: TaskOp{Requeue: &TaskRequeue{ID: id(1)}}, state: task.Leased, tries: 1},
		"deadline while it runs":   {first: func(s *task.Spec) { s.Deadline = noon.Add(time.Minute) }, late: time.Minute, op: tick, state: task.Dead, tries: 1},
		"deadline to come":         {first: func(s *task.Spec) { s.Deadline = noon.Add(time.Minute) }, late: 59 * time.Second, op: tick, state: task.Leased, tries: 1},
		"requeue past deadline":    {first: func(s *task.Spec) { s.Deadline = noon.Add(time.Minute) }, after: []TaskOp{fail(1, "pi-1", 1, 1, permanent)}, late: time.Hour, op: TaskOp{Requeue: &TaskRequeue{ID: id(1)}}, want: problem.Conflict, state: task.Dead, tries: 1},
		"done is forgotten":        {after: []TaskOp{complete(1, "pi-1", 1, 1)}, late: keepDone, op: tick},
		"done is kept":             {after: []TaskOp{complete(1, "pi-1", 1, 1)}, late: keepDone - time.Minute, op: tick, state: task.Done, tries: 1},
		"dead is kept":             {after: []TaskOp{fail(1, "pi-1", 1, 1, permanent)}, late: keepDead - time.Minute, op: tick, state: task.Dead, tries: 1},
		"submit again":             {op: submit(1), state: task.Leased, tries: 1},
		"submit, bad id":           {op: TaskOp{Submit: &TaskSubmit{ID: "x", Spec: task.Spec{Kind: task.Noop}}}, want: problem.Invalid, state: task.Leased, tries: 1},
		"lease to a stranger":      {op: lease("pi-9", "g", 1), want: problem.Forbidden, state: task.Leased, tries: 1},
		"empty":                    {op: TaskOp{}, want: problem.Invalid, state: task.Leased, tries: 1},
		"large result":             {op: TaskOp{Complete: &TaskComplete{ID: id(1), Node: "pi-1", Lease: task.Lease{Epoch: 1, Seq: 1}, Result: json.RawMessage(`"` + strings.Repeat("x", task.MaxResult) + `"`)}}, want: problem.TooLarge, state: task.Leased, tries: 1},
		"wrong lease of the ended": {after: []TaskOp{complete(1, "pi-1", 1, 1)}, op: fail(1, "pi-1", 1, 1), want: problem.StaleLease, state: task.Done, tries: 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFarm(t)
			first := submit(1)
			if test.first != nil {
				first = submit(1, test.first)
			}
			f.do(first, lease("pi-1", "g1", 1), submit(2))
			for i, a := range f.do(test.after...) {
				if a.Problem != nil {
					t.Fatalf("step %d: %v", i, a.Problem)
				}
			}
			f.at = f.at.Add(test.late)
			a := f.do(test.op)[0]
			if (a.Problem == nil) != (test.want == "") || a.Problem != nil && a.Problem.Code != test.want {
				t.Errorf("answer %v, want %q", a.Problem, test.want)
			}
			if got := f.get(1); got.State != test.state || got.Attempts != test.tries {
				t.Errorf("task is %q after %d attempts, want %q after %d", got.State, got.Attempts, test.state, test.tries)
			}
		})
	}
}

// TestTaskOrder leases tasks of several priorities, ages and models.
func TestTaskOrder(t *testing.T) {
	f := newFarm(t)
	infer := func(model string) func(*task.Spec) {
		return func(s *task.Spec) { s.Kind, s.Model, s.Input = task.Infer, model, json.RawMessage(`{}`) }
	}
	prio := func(p int) func(*task.Spec) { return func(s *task.Spec) { s.Priority = &p } }
	f.do(submit(1, prio(4)))
	f.at = f.at.Add(5 * time.Minute)
	f.do(submit(2, prio(0)), submit(3, prio(7)), submit(4, prio(0), infer("a")), submit(5, prio(0), infer("a-b")), submit(6, infer("b")))
	order := func(models ...string) (got []string) {
		op := lease("pi-1", "g"+strings.Join(models, ","), 9)
		op.Lease.Models = models
		s, _ := f.State()
		if !s.Tasks.Waiting(op.Lease.Kinds, models) {
			t.Error("nothing waits")
		}
		for _, g := range f.do(op)[0].Grants {
			got = append(got, g.ID[task.IDLen-1:])
		}
		return got
	}
	if got := order("b"); strings.Join(got, "") != "1263" {
		t.Errorf("with model b: %v", got)
	}
	if got := order(); strings.Join(got, "") != "45" {
		t.Errorf("with any: %v", got)
	}
	s, _ := f.State()
	if s.Tasks.Waiting([]task.Kind{task.Infer, task.Noop}, nil) {
		t.Error("something waits still")
	}
}

func TestTaskGrantAgain(t *testing.T) {
	f := newFarm(t)
	f.do(submit(1), submit(2), submit(3))
	a := f.do(lease("pi-1", "g", 2))[0]
	b := f.do(lease("pi-1", "g", 2), lease("pi-2", "g", 2))
	if len(a.Grants) != 2 || fmt.Sprint(a.Grants) != fmt.Sprint(b[0].Grants) || len(b[1].Grants) != 1 {
		t.Errorf("granted %v, again %v, to another %v", a.Grants, b[0].Grants, b[1].Grants)
	}
	f.must(NodeDrain{Name: "pi-1"})
	f.do(submit(4))
	if c := f.do(lease("pi-1", "h", 1))[0]; len(c.Grants) != 0 || c.Problem != nil {
		t.Errorf("a draining node gets %v", c)
	}
}

func TestTaskKeys(t *testing.T) {
	f := newFarm(t)
	keyed := func(op TaskOp, actor, hash string) TaskOp {
		op.Actor, op.Key, op.Hash = actor, "k", Hash(hash)
		return op
	}
	a := f.do(keyed(submit(1), "token:a", "x"), keyed(submit(2), "token:a", "x"), keyed(submit(3), "token:a", "y"), keyed(submit(4), "token:b", "y"))
	if a[0].ID != id(1) || a[1].ID != id(1) || a[2].Problem == nil || a[2].Problem.Code != problem.Conflict || a[3].ID != id(4) {
		t.Errorf("answers %+v", a)
	}
	f.at = f.at.Add(task.KeyFor)
	if a := f.do(TaskOp{Tick: &TaskTick{}}, keyed(submit(5), "token:a", "y")); a[1].ID != id(5) {
		t.Errorf("after a day: %+v", a)
	}
	s, _ := f.State()
	if n := s.Tasks.keys.Len(); n != 1 || s.Tasks.lapses.Len() != 1 {
		t.Errorf("%d keys are kept, want 1", n)
	}
}

func TestTaskQueueIsBounded(t *testing.T) {
	f := newFarm(t)
	s, _ := f.State()
	c := &change{State: s, at: noon, actor: "token:ada"} // past the log, whose encoding takes its time
	big := json.RawMessage(`"` + strings.Repeat("x", task.MaxInput-2) + `"`)
	for n := range 64 {
		op := submit(n, func(s *task.Spec) { s.Input = big })
		if _, err := c.submit(*op.Submit); problem.Is(err, problem.Busy) != (n >= 63) {
			t.Fatalf("task %d: %v", n, err)
		}
	}
	if c.Tasks.live.bytes > MaxTaskBytes+64*1024 {
		t.Errorf("%d bytes", c.Tasks.live.bytes)
	}
	c = &change{State: s, at: noon, actor: "token:ada"}
	c.Tasks.live.count = MaxTasks
	if _, err := c.submit(*submit(1).Submit); !problem.Is(err, problem.Busy) {
		t.Errorf("task %d: %v", MaxTasks+1, err)
	}
}

// TestTaskBurial forgets the oldest that are done before any dead letter.
func TestTaskBurial(t *testing.T) {
	f := newFarm(t)
	for n := range 3 {
		f.do(submit(n), lease("pi-1", fmt.Sprint(n), 1))
	}
	f.do(fail(0, "pi-1", 1, 1, func(o *TaskFail) { o.Permanent = true }), complete(1, "pi-1", 1, 2))
	f.at = f.at.Add(time.Second)
	f.do(complete(2, "pi-1", 1, 3))
	s, _ := f.State()
	for _, left := range []string{"02", "0", ""} {
		c := &change{State: s}
		c.Tasks.final.count += maxEnded - len(left)
		c.bury()
		var got strings.Builder
		for _, t := range c.Tasks.After("", "", 9) {
			got.WriteString(t.ID[task.IDLen-1:])
		}
		if got.String() != left {
			t.Errorf("%q are left, want %q", got.String(), left)
		}
	}
}

// TestTaskDeathsAreOneEvent keeps a thousand dead tasks from washing all other
// events away.
func TestTaskDeathsAreOneEvent(t *testing.T) {
	f := newFarm(t)
	ops := []TaskOp{}
	for n := range 50 {
		ops = append(ops, submit(n, func(s *task.Spec) { s.Deadline = noon.Add(time.Second) }))
	}
	f.do(ops...)
	before, _ := f.State()
	f.at = f.at.Add(time.Minute)
	f.do(TaskOp{Tick: &TaskTick{}})
	after, _ := f.State()
	got := after.EventsAfter(before.Seq, 99)
	if len(got) != 1 || got[0].Kind != "task.dead" || !strings.Contains(got[0].Detail, "49 others") || after.Tasks.Count(task.Dead) != 50 {
		t.Errorf("events %+v", got)
	}
}

// TestTaskHistories runs random histories. No task that was taken is lost, no
// state follows another that may not, two leases never hold at once, and a
// snapshot at any moment, restored, goes on as the original does.
func TestTaskHistories(t *testing.T) {
	for seed := range uint64(6) {
		history(t, seed)
	}
}

func history(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 3))
	f := newFarm(t)
	copied := New()
	s, _ := f.State()
	restore(t, copied, s)
	states := map[string]task.State{}
	epochs := map[string]uint32{}
	var seq uint64
	for range 80 {
		f.at = f.at.Add(time.Duration(random.IntN(20_000)) * time.Millisecond)
		if random.IntN(50) == 0 {
			f.at = f.at.Add(-time.Minute) // another leader, another clock
		}
		var ops []TaskOp
		for range random.IntN(6) + 1 {
			ops = append(ops, operation(random, f))
		}
		before, _ := f.State()
		answers := f.do(ops...)
		data, err := Encode(f.at, "token:ada", TaskBatch{Ops: ops})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, copied, f.index, f.at, TaskBatch{Ops: ops})
		if err := Check(data); err != nil {
			t.Fatal(err)
		}
		now, _ := f.State()
		twin, _ := copied.State()
		if now.Checksum() != twin.Checksum() {
			t.Fatalf("seed %d: two that did the same differ", seed)
		}
		if random.IntN(10) == 0 {
			restore(t, copied, twin)
		}
		for i, op := range ops {
			if op.Submit != nil && answers[i].Problem == nil {
				if _, known := states[op.Submit.ID]; !known {
					states[op.Submit.ID] = ""
				}
			}
			for _, g := range answers[i].Grants {
				if g.Lease.Seq > seq {
					seq = g.Lease.Seq
					if g.Lease.Epoch <= epochs[g.ID] {
						t.Fatalf("seed %d: epoch %d of %s after %d", seed, g.Lease.Epoch, g.ID, epochs[g.ID])
					}
					epochs[g.ID] = g.Lease.Epoch
				}
			}
			if c := op.Complete; c != nil && answers[i].Problem == nil {
				if got, _ := now.Tasks.Get(c.ID); got.Lease != c.Lease {
					t.Fatalf("seed %d: %s completed %s, which %s holds", seed, c.Lease, c.ID, got.Lease)
				}
			}
		}
		checkTasks(t, seed, before.Tasks, now.Tasks, states)
	}
}

// operation is a random one on one of few tasks.
func operation(random *rand.Rand, f *farm) TaskOp {
	n := random.IntN(12)
	node := []string{"pi-1", "pi-2", "pi-3"}[random.IntN(3)]
	held := f.get(n)
	if random.IntN(4) > 0 && held.Node != "" {
		node = held.Node
	}
	l := held.Lease
	if random.IntN(5) == 0 {
		l.Epoch--
	}
	switch random.IntN(10) {
	case 0, 1:
		return submit(n, func(s *task.Spec) {
			s.MaxAttempts = random.IntN(4)
			s.Priority = new(random.IntN(8))
			if random.IntN(3) == 0 {
				s.NotBefore = f.at.Add(time.Minute)
			}
			if random.IntN(3) == 0 {
				s.Deadline = f.at.Add(5 * time.Minute)
			}
		})
	case 2, 3, 4:
		return lease(node, fmt.Sprint("g", random.IntN(40)), random.IntN(3)+1)
	case 5:
		return complete(n, node, l.Epoch, l.Seq)
	case 6:
		return fail(n, node, l.Epoch, l.Seq, func(o *TaskFail) {
			o.Permanent, o.Release, o.Draw = random.IntN(8) == 0, random.IntN(4) == 0, random.Uint32()
		})
	case 7:
		return expire(n, l.Epoch, l.Seq)
	case 8:
		if random.IntN(2) == 0 {
			return TaskOp{Cancel: &TaskCancel{id(n)}}
		}
		return TaskOp{Requeue: &TaskRequeue{ID: id(n)}}
	}
	return TaskOp{Tick: &TaskTick{}}
}

// checkTasks holds one version of the tasks against the one before it, and its
// indexes against its rows.
func checkTasks(t *testing.T, seed uint64, before, now Tasks, states map[string]task.State) {
	t.Helper()
	for id := range states {
		got, ok := now.Get(id)
		if !ok {
			t.Fatalf("seed %d: task %s is lost", seed, id) // none of them is a day old
		}
		was, _ := before.Get(id)
		if !reachable(was.State, got.State) {
			t.Fatalf("seed %d: task %s went from %q to %q", seed, id, was.State, got.State)
		}
		states[id] = got.State
	}
	var counts [len(task.States)]int
	ready, held, live := 0, 0, load{}
	for _, r := range now.rows.From("") {
		counts[ordinal(r.State)]++
		switch r.State {
		case task.Ready:
			ready++
		case task.Leased:
			held++
			if r.Lease.IsZero() || r.Node == "" {
				t.Fatalf("seed %d: leased by nobody: %+v", seed, r.Task)
			}
		}
		if !r.State.Final() {
			live.add(r.Task, 1)
		}
	}
	if counts != now.states || ready != now.ready.Len() || held != now.held.Len() || live != now.live || now.byState.Len() != now.rows.Len() || now.ended.Len() != now.final.count {
		t.Fatalf("seed %d: the indexes differ from the rows: %v %v, ready %d %d, held %d %d", seed, counts, now.states, ready, now.ready.Len(), held, now.held.Len())
	}
}

// reachable reports whether legal steps lead from one state to another: a batch
// may take several with one task.
func reachable(from, to task.State) bool {
	seen := map[task.State]bool{from: true}
	for next := []task.State{from}; len(next) > 0; next = next[1:] {
		for _, s := range task.States {
			if next[0].MayBecome(s) && !seen[s] {
				seen[s] = true
				next = append(next, s)
			}
		}
	}
	return seen[to]
}

// restore puts a copy of s into f, by way of a snapshot.
func restore(t testing.TB, f *FSM, s State) {
	t.Helper()
	var b bytes.Buffer
	if _, err := s.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if err := f.Restore(closer{&b}); err != nil {
		t.Fatal(err)
	}
}

type closer struct{ *bytes.Buffer }

func (closer) Close() error { return nil }

// BenchmarkTaskApply submits, leases and completes one task a time, in entries of
// 100 operations, next to 100,000 tasks that wait.
func BenchmarkTaskApply(b *testing.B) {
	f := newFarm(b)
	for n := 0; n < MaxTasks-1000; n += 1000 {
		var ops []TaskOp
		for i := range 1000 {
			ops = append(ops, submit(n+i, func(s *task.Spec) { s.Priority = new(7) }))
		}
		f.do(ops...)
	}
	var entries [][]byte
	n := 200_000
	s, _ := f.State()
	seq := s.Tasks.leases
	for range 1 + b.N/300 { // each task costs three operations
		var in, out, end []TaskOp
		for range 100 {
			n++
			seq++
			in = append(in, submit(n, func(s *task.Spec) { s.Priority = new(0) }))
			out = append(out, lease("pi-1", fmt.Sprint(n), 1))
			end = append(end, complete(n, "pi-1", 1, seq))
		}
		for _, ops := range [][]TaskOp{in, out, end} {
			data, err := Encode(f.at, "coordinator", TaskBatch{Ops: ops})
			if err != nil {
				b.Fatal(err)
			}
			entries = append(entries, data)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += 100 {
		f.index++
		r := f.Apply(&raft.Log{Index: f.index, Data: entries[i/100]}).(Result)
		if a := r.Value.(TaskResult).Answers[0]; a.Problem != nil {
			b.Fatal(a.Problem)
		}
	}
}

// BenchmarkTaskSnapshot writes, reads and sums up a state of 100,000 tasks.
func BenchmarkTaskSnapshot(b *testing.B) {
	f := newFarm(b)
	for n := 0; n < MaxTasks; n += 1000 {
		var ops []TaskOp
		for i := range 1000 {
			ops = append(ops, submit(n+i))
		}
		f.do(ops...)
	}
	s, _ := f.State()
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.WriteTo(new(bytes.Buffer)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			restore(b, New(), s)
		}
	})
	b.Run("checksum", func(b *testing.B) {
		for b.Loop() {
			s.Checksum()
		}
	})
}

// TestSnapshotIsTheStatesJSON: what is written task by task is what encoding/json
// makes of the whole state.
func TestSnapshotIsTheStatesJSON(t *testing.T) {
	for name, s := range map[string]State{
		"empty":    {},
		"no tasks": {Index: 7, Nodes: map[string]Node{"c1": {Name: `"tasks":"tasks"`}}},
		"tasks": func() State {
			s := State{Index: 7, Nodes: map[string]Node{"c1": {Name: `"tasks":"tasks"`}}, Backup: Backup{Path: "x"}}
			for i := range 3 {
				s.Tasks.put(task.Spec{Kind: task.Noop, Input: json.RawMessage(`{"ms": 1 }`)}.New(task.NewID(time.Now()), "<&>", time.Unix(int64(i), 0).UTC()))
				s.Tasks.remember(Idem{Actor: "token:ada", Key: fmt.Sprint(i), Until: time.Unix(9, 0).UTC(), Answer: json.RawMessage(`[1]`)})
			}
			return s
		}(),
		"keys alone": func() (s State) {
			s.Tasks.remember(Idem{Actor: "token:ada", Key: "k", Until: time.Unix(9, 0).UTC()})
			return s
		}(),
	} {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		n, err := s.encode(&got)
		if err != nil || got.String() != string(want) || n != int64(len(want)) {
			t.Errorf("%s: %v, %d bytes\n%s\nwant\n%s", name, err, n, got.String(), want)
		}
	}
}

// TestConfiguredBounds: the bounds that a coordinator is configured with travel
// with the task, and never exceed those of the program.
func TestConfiguredBounds(t *testing.T) {
	f := newFarm(t)
	bounded := func(n, most, bytes int) *problem.Error {
		op := submit(n, func(s *task.Spec) { s.Input = json.RawMessage(`{"ms":1}`) })
		op.Submit.Most, op.Submit.MostBytes = most, bytes
		return f.do(op)[0].Problem
	}
	full := func(p *problem.Error) bool { return p != nil && p.Code == problem.Busy }
	for n := range 3 {
		if p := bounded(n, 3, 0); p != nil {
			t.Fatal(p)
		}
	}
	if p := bounded(3, 3, 0); !full(p) {
		t.Errorf("the fourth of three: %v", p)
	}
	s, _ := f.State()
	if p := bounded(4, 0, s.Tasks.live.bytes+1); !full(p) {
		t.Errorf("with no room for its input: %v", p)
	}
	if p := bounded(5, MaxTasks+1, MaxTaskBytes+1); p != nil {
		t.Errorf("with room: %v", p)
	}
	if got := bound(MaxTasks+1, MaxTasks); got != MaxTasks {
		t.Errorf("a bound above the program's is %d", got)
	}
	f.do(TaskOp{Cancel: &TaskCancel{ID: id(0)}}, TaskOp{Cancel: &TaskCancel{ID: id(1)}})
	if p := bounded(6, 3, 0); p != nil {
		t.Errorf("after two were cancelled: %v", p)
	}
	requeued := func(most, bytes int) *problem.Error {
		return f.do(TaskOp{Requeue: &TaskRequeue{ID: id(0), Most: most, MostBytes: bytes}})[0].Problem
	}
	if p := requeued(3, 0); !full(p) {
		t.Errorf("requeued into a full queue: %v", p)
	}
	s, _ = f.State()
	if p := requeued(0, s.Tasks.live.bytes-1); !full(p) {
		t.Errorf("requeued with no room for its input: %v", p)
	}
	if p := requeued(9, 0); p != nil {
		t.Errorf("requeued with room: %v", p)
	}
}

// TestObjectsAreKeptWithTheirTasks follows who refers to an object.
func TestObjectsAreKeptWithTheirTasks(t *testing.T) {
	f := newFarm(t)
	photo, result := task.ObjectOf([]byte("photo")), task.ObjectOf([]byte("result"))
	input, err := json.Marshal(task.InferInput{Object: &photo})
	if err != nil {
		t.Fatal(err)
	}
	infer := func(n int) TaskOp {
		return submit(n, func(s *task.Spec) { s.Kind, s.Model, s.Input = task.Infer, "yolox", input })
	}
	refers := func(when string, wantPhoto, wantResult bool) {
		t.Helper()
		s, _ := f.State()
		if s.Tasks.Refers(photo.SHA256) != wantPhoto || s.Tasks.Refers(result.SHA256) != wantResult {
			t.Errorf("%s: photo %t, result %t", when, s.Tasks.Refers(photo.SHA256), s.Tasks.Refers(result.SHA256))
		}
		var b bytes.Buffer
		if _, err := s.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		again, err := ReadState(&b)
		if err != nil || again.Tasks.Refers(photo.SHA256) != wantPhoto || again.Tasks.Refers(result.SHA256) != wantResult {
			t.Errorf("%s, from a snapshot: %v", when, err)
		}
	}
	refers("before", false, false)
	f.do(infer(0), infer(1))
	refers("submitted twice", true, false)
	grants := f.do(TaskOp{Lease: &TaskLease{Node: "pi-1", Kinds: []task.Kind{task.Infer}, Max: 2, Grant: "g"}})[0].Grants
	if len(grants) != 2 {
		t.Fatalf("granted %v", grants)
	}
	bad := f.do(TaskOp{Complete: &TaskComplete{ID: grants[0].ID, Node: "pi-1", Lease: grants[0].Lease, ResultObject: &task.Object{SHA256: "x", Size: 1}}})[0].Problem
	if bad == nil || bad.Code != problem.Invalid {
		t.Errorf("a result that cannot be: %v", bad)
	}
	f.do(TaskOp{Complete: &TaskComplete{ID: grants[0].ID, Node: "pi-1", Lease: grants[0].Lease, ResultObject: &result}})
	refers("one is done", true, true)
	f.do(TaskOp{Complete: &TaskComplete{ID: grants[1].ID, Node: "pi-1", Lease: grants[1].Lease}})
	refers("both are done", false, true)
	f.at = f.at.Add(25 * time.Hour)
	f.do(TaskOp{Tick: &TaskTick{}})
	refers("forgotten", false, false)
}
