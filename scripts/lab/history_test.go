package lab_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A history is what clients asked and were told, and when.
type history struct {
	begun time.Time

	mu      sync.Mutex
	ops     []porcupine.Operation
	claimed map[string]bool              // task and epoch
	open    map[string]int64             // by node: when its first lease call without an answer began
	seen    map[string]map[uint32]string // by task: the epochs that were seen, and whose they were
	recent  []string                     // tasks to look at
	turn    int
}

func newHistory() *history {
	return &history{begun: time.Now(), claimed: map[string]bool{}, open: map[string]int64{}, seen: map[string]map[uint32]string{}}
}

func (h *history) now() int64 { return time.Since(h.begun).Nanoseconds() }

// add takes down a call that began at from and has just ended. One of unknown
// outcome may still be carried out at any time.
func (h *history) add(from int64, i input, o output) {
	to := h.now()
	if o.unknown {
		to = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ops = append(h.ops, porcupine.Operation{Input: i, Call: from, Output: o, Return: to})
	switch i.call {
	case claim:
		h.claimed[fmt.Sprint(i.key, o.epoch)] = true
	case getTask:
		if h.seen[i.key] == nil {
			h.seen[i.key] = map[uint32]string{}
		}
		if o.epoch > 0 {
			h.seen[i.key][o.epoch] = o.node
		}
	}
}

func (h *history) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ops)
}

// check has the history checked. A claim that was seen, and whose own answer was
// lost, is added as a call that lasted for ever.
func (h *history) check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, epochs := range h.seen {
		for epoch, node := range epochs {
			if h.claimed[fmt.Sprint(key, epoch)] {
				continue
			}
			from, lost := h.open[node]
			if !lost {
				return broken("%s was held by %s at epoch %d, who has not been given it", key, node, epoch)
			}
			h.ops = append(h.ops, porcupine.Operation{Input: input{key: key, call: claim, to: node}, Call: from, Output: output{epoch: epoch}, Return: math.MaxInt64})
		}
	}
	switch porcupine.CheckOperationsTimeout(clusterModel, h.ops, time.Minute) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return broken("the history of %d calls is not linearizable", len(h.ops))
	}
	return fmt.Errorf("the history of %d calls could not be checked in a minute", len(h.ops))
}

// A watchful load is clients, each of which asks one coordinator only, whatever
// becomes of it: so that what a lagging one says is heard.
type watchful struct {
	*history
	name string // of these clients, unlike that of others
	stop context.CancelFunc
	done sync.WaitGroup
}

const (
	registers = 6  // nodes that are drained and undrained
	looked    = 24 // tasks that are looked at
)

var watches atomic.Int64

func watch(ctx context.Context, l *lab, pause time.Duration) (*watchful, error) {
	w := &watchful{history: newHistory(), name: fmt.Sprint(watches.Add(1))}
	ctx, w.stop = context.WithCancel(ctx)
	for i := range registers {
		if _, err := l.enroll(ctx, w.register(i)); err != nil {
			w.end()
			return nil, err
		}
	}
	for i := range 4 {
		name := fmt.Sprintf("claimer-%s-%d", w.name, i+1)
		id, err := l.enroll(ctx, name)
		if err != nil {
			w.end()
			return nil, err
		}
		clients := l.callers(id)
		w.done.Go(func() { w.claims(ctx, name, clients, pause) })
	}
	for range 4 {
		for _, c := range l.callers(nil) {
			w.done.Go(func() { w.looks(ctx, c, pause) })
		}
	}
	feeders := l.callers(nil)
	w.done.Go(func() { w.feeds(ctx, feeders, 4*pause) })
	return w, nil
}

func (w *watchful) register(i int) string { return fmt.Sprintf("register-%s-%d", w.name, i+1) }

func (w *watchful) end() {
	w.stop()
	w.done.Wait()
}

// nobodys is a model that no agent has, so that nobody else takes these tasks.
const nobodys = "nobodys"

// patience is how long a call is waited for.
const patience = 2 * time.Second

// looks reads and writes registers, and reads tasks.
func (w *watchful) looks(ctx context.Context, c *wire.Client, pause time.Duration) {
	for run.Sleep(ctx, run.Jitter(pause)) {
		try, cancel := context.WithTimeout(ctx, patience)
		name, from := w.register(rand.IntN(registers)), w.now()
		switch dice := rand.IntN(10); {
		case dice < 2:
			action, to := wire.Drain, "draining"
			if rand.IntN(2) == 0 {
				action, to = wire.Undrain, "approved"
			}
			_, err := c.NodeAction(try, name, action)
			w.add(from, input{key: "node/" + name, call: setNode, to: to}, output{unknown: err != nil})
		case dice < 6:
			if n, err := c.Node(try, name); err == nil {
				w.add(from, input{key: "node/" + name, call: readNode}, output{state: n.State})
			}
		default:
			id := w.pick()
			if id == "" {
				break
			}
			if t, err := c.Task(try, id, 0); err == nil {
				w.add(from, input{key: "task/" + id, call: getTask}, output{state: string(t.State), node: t.Node, epoch: t.Lease.Epoch})
			}
		}
		cancel()
	}
}

// pick is one of the tasks that are looked at.
func (h *history) pick() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.recent) == 0 {
		return ""
	}
	return h.recent[rand.IntN(len(h.recent))]
}

// feeds submits tasks.
func (w *watchful) feeds(ctx context.Context, clients []*wire.Client, pause time.Duration) {
	for i := 0; run.Sleep(ctx, run.Jitter(pause)); i++ {
		try, cancel := context.WithTimeout(ctx, patience)
		t, err := clients[i%len(clients)].SubmitTask(try, task.Spec{Kind: task.Infer, Model: nobodys, Input: json.RawMessage(`{"image":"AA=="}`), MaxAttempts: task.MaxAttempts}, "")
		cancel()
		if err != nil {
			continue // whether it is there or not, nobody looks at it
		}
		w.mu.Lock()
		if len(w.recent) < looked {
			w.recent = append(w.recent, t.ID)
		} else {
			w.recent[w.turn%looked] = t.ID
		}
		w.turn++
		w.mu.Unlock()
	}
}

// claims leases tasks and completes them, some of them late or twice.
func (w *watchful) claims(ctx context.Context, name string, clients []*wire.Client, pause time.Duration) {
	for i := 0; run.Sleep(ctx, run.Jitter(pause)); i++ {
		from := w.now()
		try, cancel := context.WithTimeout(ctx, patience)
		got, err := clients[i%len(clients)].LeaseTasks(try, wire.LeaseRequest{Node: name, Kinds: []task.Kind{task.Infer}, Models: []string{nobodys}, Max: 2, Wait: "200ms"})
		cancel()
		if err != nil {
			w.mu.Lock()
			if _, open := w.open[name]; !open {
				w.open[name] = from
			}
			w.mu.Unlock()
			continue
		}
		for _, t := range got {
			w.add(from, input{key: "task/" + t.ID, call: claim, to: name}, output{epoch: t.Lease.Epoch})
		}
		for _, t := range got {
			for range 1 + rand.IntN(5)/4 {
				w.finish(ctx, name, clients[rand.IntN(len(clients))], t)
			}
		}
	}
}

func (w *watchful) finish(ctx context.Context, name string, c *wire.Client, t wire.Leased) {
	try, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from := w.now()
	_, err := c.CompleteTask(try, t.ID, wire.CompleteRequest{Lease: t.Lease})
	stale := problem.Is(err, problem.StaleLease)
	w.add(from, input{key: "task/" + t.ID, call: complete, to: name, with: t.Lease.Epoch}, output{stale: stale, unknown: err != nil && !stale})
}
