package builtin

import (
	"context"
	"sync"
	"sync/atomic"
)

// A pool is the workers of a session: the caller of run and the goroutines
// beside it, which live until close. Handing out work allocates nothing.
type pool struct {
	workers []worker
	wake    []chan struct{} // one for each goroutine; closing it ends the goroutine
	done    chan struct{}
	next    atomic.Int64
	current *step           // written before wake, read after
	ctx     context.Context // of the Infer that is under way
	fault   atomic.Pointer[fault]
	ended   sync.WaitGroup
}

// A fault is what the first task that panicked said.
type fault struct{ said any }

// newPool starts n-1 goroutines, which close ends and waits for.
func newPool(n int) *pool {
	p := &pool{workers: make([]worker, n), wake: make([]chan struct{}, n-1), done: make(chan struct{}, n)}
	for i := range p.wake {
		wake := make(chan struct{}, 1)
		p.wake[i] = wake
		p.ended.Go(func() {
			for range wake {
				p.work(&p.workers[i+1])
				p.done <- struct{}{}
			}
		})
	}
	return p
}

// run does all tasks of a step and returns when they are done, or soon after ctx ends or
// one of them panics, which is kept in p.fault.
func (p *pool) run(ctx context.Context, s *step) {
	p.current, p.ctx = s, ctx
	p.next.Store(0)
	helpers := min(s.tasks-1, len(p.wake))
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	p.work(&p.workers[0])
	for range helpers {
		<-p.done
	}
}

func (p *pool) work(w *worker) {
	// The last guard: all that tasks do was checked when the model was loaded, and no
	// panic is known. Should there be one yet, it costs this model and not the daemon.
	defer func() {
		if said := recover(); said != nil {
			p.fault.CompareAndSwap(nil, &fault{said})
		}
	}()
	s := p.current
	w.ctx = p.ctx
	for {
		task := int(p.next.Add(1)) - 1
		if task >= s.tasks || p.ctx.Err() != nil || p.fault.Load() != nil {
			return
		}
		s.run(task, w)
	}
}

func (p *pool) close() {
	for _, wake := range p.wake {
		close(wake)
	}
	p.ended.Wait()
}
