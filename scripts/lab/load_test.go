package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A load is clients that submit tasks, work on them and drain nodes, and take
// down in a ledger what they were told.
type load struct {
	*ledger
	stop  context.CancelFunc // of those who submit and drain
	quit  context.CancelFunc // of those who work
	pause time.Duration      // between two calls of one client
	tries time.Duration      // how long one try may take
	asks  sync.WaitGroup
	works sync.WaitGroup
}

// begin starts clients. Who submits asks as the operator.
func beginLoad(ctx context.Context, l *lab, submitters, workers int, pause time.Duration) (*load, error) {
	d := &load{ledger: newLedger(), pause: pause, tries: 3 * time.Second}
	asking, stop := context.WithCancel(ctx)
	working, quit := context.WithCancel(ctx)
	d.stop, d.quit = stop, quit
	for i := range workers {
		name := fmt.Sprintf("worker-%d", i+1)
		id, err := l.enroll(ctx, name)
		if err != nil {
			d.end()
			return nil, err
		}
		clients := l.callers(id)
		d.works.Go(func() { d.work(working, name, clients) })
	}
	if _, err := l.enroll(ctx, "spare"); err != nil {
		d.end()
		return nil, err
	}
	for range submitters {
		clients := l.callers(nil)
		d.asks.Go(func() { d.submit(asking, clients) })
	}
	operator := l.callers(nil)
	d.asks.Go(func() { d.drain(asking, operator) })
	return d, nil
}

// rest ends the submissions; workers go on.
func (d *load) rest() {
	d.stop()
	d.asks.Wait()
}

// end ends all clients.
func (d *load) end() {
	d.rest()
	d.quit()
	d.works.Wait()
}

// anywhere tries f at one coordinator after the other until it is answered for
// good, the first one at random.
func (d *load) anywhere(ctx context.Context, clients []*wire.Client, tries int, f func(context.Context, *wire.Client) error) (err error) {
	at := rand.IntN(len(clients))
	for i := range tries {
		try, cancel := context.WithTimeout(ctx, d.tries)
		err = f(try, clients[(at+i)%len(clients)])
		cancel()
		if err == nil || ctx.Err() != nil || final(err) {
			return err
		}
	}
	return err
}

// final reports whether an answer will not be another one elsewhere.
func final(err error) bool {
	switch problem.Of(err).Code {
	case problem.StaleLease, problem.Conflict, problem.NotFound, problem.Invalid, problem.Forbidden:
		return true
	}
	return false
}

func (d *load) submit(ctx context.Context, clients []*wire.Client) {
	for run.Sleep(ctx, run.Jitter(d.pause)) {
		a := d.next()
		key := fmt.Sprintf("lab-%d-%d", d.begun.UnixNano(), a.number)
		spec := task.Spec{Kind: task.Noop, Deadline: d.mark(a.number), MaxAttempts: task.MaxAttempts}
		// Now and then an answer is not waited for, and the call repeated at once.
		for range 1 + rand.IntN(8)/7 {
			_ = d.anywhere(ctx, clients, 3, func(ctx context.Context, c *wire.Client) error { // not acknowledged, not in the ledger
				from := time.Now()
				t, err := c.SubmitTask(ctx, spec, key)
				if err == nil {
					d.accepted(a, t.ID, from)
				}
				return err
			})
		}
	}
}

func (d *load) work(ctx context.Context, name string, clients []*wire.Client) {
	for ctx.Err() == nil {
		var got []wire.Leased
		err := d.anywhere(ctx, clients, 1, func(ctx context.Context, c *wire.Client) (err error) {
			got, err = c.LeaseTasks(ctx, wire.LeaseRequest{Node: name, Kinds: []task.Kind{task.Noop}, Max: 8, Wait: "1s"})
			return err
		})
		if err != nil && !run.Sleep(ctx, 50*time.Millisecond) {
			return
		}
		for _, t := range got {
			if rand.IntN(50) == 0 { // one in fifty is given back instead
				_ = d.anywhere(ctx, clients, 3, func(ctx context.Context, c *wire.Client) error { // or its lease ends
					_, err := c.FailTask(ctx, t.ID, wire.FailRequest{Lease: t.Lease, Release: true})
					return err
				})
				continue
			}
			_ = d.anywhere(ctx, clients, 4, func(ctx context.Context, c *wire.Client) error { // or its lease ends
				_, err := c.CompleteTask(ctx, t.ID, wire.CompleteRequest{Lease: t.Lease})
				if err == nil {
					d.completed(t.ID, t.Lease)
				}
				return err
			})
		}
	}
}

// drain changes one node all the time; nobody else does.
// settle is longer than a coordinator goes on with a call whose caller has left.
const settle = 15 * time.Second

func (d *load) drain(ctx context.Context, clients []*wire.Client) {
	for i := 0; run.Sleep(ctx, run.Jitter(4*d.pause+20*time.Millisecond)); i++ {
		action, state := wire.Drain, "draining"
		if i%2 == 1 {
			action, state = wire.Undrain, "approved"
		}
		try, cancel := context.WithTimeout(ctx, d.tries)
		d.node("spare", "")
		_, err := clients[rand.IntN(len(clients))].NodeAction(try, "spare", action)
		cancel()
		if err == nil {
			d.node("spare", state)
		} else {
			run.Sleep(ctx, settle) // it may be carried out yet, after a later one
		}
	}
}
