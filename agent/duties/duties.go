package duties

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/wire"
)

// Times of asking and of stopping.
const (
	pollTime  = 10 * time.Second // that a coordinator may keep a request for work; below 80 % of a lease
	pollSlack = 5 * time.Second  // for the answer to come
	idle      = time.Second      // between two looks at whether the node can work
	leastWait = 250 * time.Millisecond
	mostWait  = 15 * time.Second

	reportTime  = 3 * time.Second // for one try to report
	finishGrace = 2 * time.Second // to finish when the node stops, before the work is given back
)

// errLeaving is why work ends when the node stops.
var errLeaving = errors.New("the node stops")

// A Part is the duties of a node.
type Part struct {
	queue   Queue
	able    func() []string
	work    Worker
	log     *slog.Logger
	metrics *metrics
}

// New returns the part that takes tasks from queue and has work do them. able
// names the models that the node can run now; while there are none it takes nothing.
func New(queue Queue, able func() []string, work Worker, log *slog.Logger, reg prometheus.Registerer) (*Part, error) {
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	return &Part{queue: queue, able: able, work: work, log: log, metrics: m}, nil
}

func (p *Part) String() string { return "duties" }

// Run takes and does tasks, one after another, until ctx ends.
func (p *Part) Run(ctx context.Context) error {
	var away trouble
	for ctx.Err() == nil {
		models := p.able()
		if len(models) == 0 {
			run.Sleep(ctx, idle)
			continue
		}
		asked := time.Now()
		got, err := p.ask(ctx, models)
		switch {
		case err != nil && ctx.Err() == nil:
			away.begin(p.log, err)
			run.Sleep(ctx, away.pause(err))
		case err == nil:
			away.end(p.log)
			if got != nil {
				p.do(ctx, newHold(p.queue, got, asked))
			}
		}
	}
	return nil
}

// ask waits for a task.
func (p *Part) ask(ctx context.Context, models []string) (*wire.Leased, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTime+pollSlack)
	defer cancel()
	return p.queue.Lease(ctx, models, pollTime)
}

// do does the task that is held, and reports it. It outlives ctx by the time that
// finishing or giving back takes, and no longer than the lease.
func (p *Part) do(ctx context.Context, h *hold) {
	held, lose := context.WithCancelCause(context.WithoutCancel(ctx))
	working, leave := context.WithCancelCause(held)
	stop := context.AfterFunc(ctx, func() { // ends with held
		if run.Sleep(held, finishGrace) {
			leave(errLeaving)
		}
		if run.Sleep(held, reportTime) {
			lose(errLeaving)
		}
	})
	var keeping sync.WaitGroup
	keeping.Go(func() { h.keep(held, lose) })
	p.metrics.held.Inc()
	defer func() {
		stop()
		lose(nil)
		leave(nil)
		keeping.Wait()
		p.metrics.held.Dec()
	}()

	// What waited too long on its way here has to show first that it is still ours.
	if !h.fresh() {
		if err := h.renew(held); err != nil {
			p.log.Warn("task came too late, left to another node", "task", h.task.ID, "err", err)
			p.metrics.ended("lost")
			return
		}
	}
	begin := time.Now()
	result, err := p.guarded(working, h.task)
	p.metrics.seconds.Observe(time.Since(begin).Seconds())
	p.report(ctx, held, working, h, result, err)
}

// guarded works, and takes a panic for a failure of the task.
func (p *Part) guarded(ctx context.Context, t *wire.Leased) (result json.RawMessage, err error) {
	defer func() {
		if r := recover(); r != nil {
			p.log.Error("task made the engine panic", "task", t.ID, "model", t.Model, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = problem.New(problem.Unexpected, "See the node's log.", "The engine panicked on this task.")
		}
	}()
	return p.work(ctx, t)
}

// report tells the coordinators how the task ended, as often as it takes and
// while the lease is held.
func (p *Part) report(ctx, held, working context.Context, h *hold, result json.RawMessage, err error) {
	outcome, send := "done", func(ctx context.Context) error { return p.queue.Complete(ctx, h.task, result) }
	switch {
	case held.Err() != nil: // nobody waits for a report any more
		p.metrics.ended("lost")
		p.log.Info("task dropped, it is not this node's any more", "task", h.task.ID, "err", context.Cause(held))
		return
	case err != nil:
		failure := Failure{Reason: err.Error(), Permanent: hopeless(err)}
		outcome = "failed"
		if errors.Is(context.Cause(working), errLeaving) {
			failure, outcome = Failure{Reason: "The node stopped before the task was done.", Release: true}, "released"
		}
		p.log.Info("task not done", "task", h.task.ID, "kind", h.task.Kind, "model", h.task.Model, "outcome", outcome, "err", err)
		send = func(ctx context.Context) error { return p.queue.Fail(ctx, h.task, failure) }
	}
	if err := persist(held, tryTime(result), send); err != nil {
		outcome = "lost"
		p.log.Warn("task's report not accepted", "task", h.task.ID, "stopping", ctx.Err() != nil, "err", err)
	}
	p.metrics.ended(outcome)
}

// tryTime is how long one try to report may take: a large result travels for a
// while, at half a MiB a second on a poor link.
func tryTime(result json.RawMessage) time.Duration {
	return reportTime + time.Duration(len(result))*2*time.Second/(1<<20)
}

// persist sends until there is an answer for good or ctx ends. A try takes so
// long at most.
func persist(ctx context.Context, try time.Duration, send func(context.Context) error) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		try, cancel := context.WithTimeout(ctx, try)
		err := send(try)
		cancel()
		if err == nil || final(err) || !run.Sleep(ctx, run.Jitter(pause)) {
			return err
		}
	}
}

// hopeless reports whether another node would fail just so: the task itself is
// wrong.
func hopeless(err error) bool {
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case problem.Invalid, problem.BadMedia, problem.TooLarge:
		return true
	}
	return false
}

// A trouble is a row of requests for work that failed.
type trouble struct{ count int }

// begin tells of the first of them. That nobody is known is no news: the node's
// mode says so.
func (t *trouble) begin(log *slog.Logger, err error) {
	t.count++
	if t.count == 1 && !errors.Is(err, errNobody) {
		log.Warn("no tasks to be had, trying again", "err", err)
	}
}

// pause grows from leastWait to mostWait, with full jitter, so that nodes that
// lost a coordinator together do not come back together.
func (t *trouble) pause(err error) time.Duration {
	most := min(leastWait<<min(t.count, 10), mostWait)
	least := leastWait / 2
	if e, ok := errors.AsType[*problem.Error](err); ok {
		least = max(least, min(e.RetryAfter, mostWait))
	}
	return least + rand.N(most)
}

func (t *trouble) end(log *slog.Logger) {
	if t.count > 1 {
		log.Info("tasks can be had again", "failures", t.count)
	}
	t.count = 0
}
