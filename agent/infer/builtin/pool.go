package builtin

import (
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
	current *step // written before wake, read after
	ended   sync.WaitGroup
}

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

// run does all tasks of a step and returns when they are done.
func (p *pool) run(s *step) {
	helpers := min(s.tasks-1, len(p.wake))
	if helpers <= 0 {
		for task := range s.tasks {
			s.run(task, &p.workers[0])
		}
		return
	}
	p.current = s
	p.next.Store(0)
	for _, wake := range p.wake[:helpers] {
		wake <- struct{}{}
	}
	p.work(&p.workers[0])
	for range helpers {
		<-p.done
	}
}

func (p *pool) work(w *worker) {
	s := p.current
	for {
		task := int(p.next.Add(1)) - 1
		if task >= s.tasks {
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
