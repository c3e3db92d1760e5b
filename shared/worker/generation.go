package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"primespark/shared/worker/frame"
)

// A generation is one worker with the models that it has loaded. When it fails
// it is replaced as a whole: an engine that failed once is not asked again.
type generation struct {
	proc *Process

	once sync.Once
	bad  chan struct{} // closed once err is set
	err  error         // why it has to go

	asked sync.WaitGroup // inferences under way

	began time.Time
}

// A plan is a reason to replace a worker with which nothing is wrong.
type plan struct{ why string }

func (p *plan) Error() string { return p.why }

// fail says that the generation has to go.
func (g *generation) fail(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.bad)
	})
}

// failed reports whether the generation has to go.
func (g *generation) failed() bool {
	select {
	case <-g.bad:
		return true
	default:
		return false
	}
}

// start starts a worker and loads all models that are wanted. It returns the
// generation with an error, too, if there was something to put away.
func (s *Supervisor) start(ctx context.Context, program Program) (*generation, error) {
	proc, err := s.launch(ctx, program)
	if err != nil {
		return nil, err
	}
	g := &generation{proc: proc, bad: make(chan struct{}), began: time.Now()}
	if err := s.introduce(ctx, g, program); err != nil {
		return g, g.say(err)
	}
	if err := s.reconcile(ctx, g); err != nil {
		return g, g.say(err)
	}
	if ctx.Err() != nil {
		return g, ctx.Err()
	}
	s.ready(g)
	return g, nil
}

// introduce learns who the worker is and what it has.
func (s *Supervisor) introduce(ctx context.Context, g *generation, program Program) error {
	def(&program.Patience, helloTime)
	in, cancel := context.WithTimeout(ctx, program.Patience)
	defer cancel()
	hello, err := g.proc.Client.Hello(in)
	if err != nil {
		return err
	}
	g.proc.Hello = hello
	if hello.Fault != frame.OK {
		return &frame.Failure{Type: frame.Hello, Status: hello.Fault, Detail: hello.Why}
	}
	s.cfg.Engine.Update(func(st *Status) {
		st.Worker = ProcessStatus{Kind: hello.Worker, PID: g.proc.PID, Layout: hello.Layout, Confined: hello.Confined, Unit: g.proc.Unit}
		st.Library, st.LibraryPath = hello.Library, hello.Path
	})
	return s.cfg.Engine.Meet(ctx, g.proc)
}

func (s *Supervisor) ready(g *generation) {
	s.cfg.Engine.Update(func(st *Status) {
		if st.State != StateReady {
			st.Since = time.Now().UTC()
		}
		st.State, st.Cause = StateReady, nil
	})
	s.cfg.Log.Info(s.cfg.Name+" ready", "library", g.proc.Hello.Library, "worker", g.proc.Hello.Worker, "pid", g.proc.PID)
}

// say explains an error by how the process ended, if it did.
func (g *generation) say(err error) error {
	if !errors.Is(err, frame.ErrGone) {
		return err
	}
	late := time.NewTimer(time.Second) // the kernel closes a socket before it tells of the end
	defer late.Stop()
	select {
	case <-g.proc.ended:
		return &gone{g.proc.words(), err}
	case <-late.C:
		return err // it lives, and has said what is no message
	}
}

// A gone is how a worker ended, in words that say more than its socket's do.
type gone struct {
	text string
	err  error
}

func (g *gone) Error() string { return g.text }
func (g *gone) Unwrap() error { return g.err }

// attend watches over a generation until it has to go, and says why; nil when
// ctx ends.
func (s *Supervisor) attend(ctx context.Context, g *generation) error {
	var watching sync.WaitGroup
	defer watching.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watching.Go(func() { s.ping(ctx, g) })
	watching.Go(func() { s.cfg.Engine.Watch(ctx, g.proc) })
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.proc.ended:
			return g.say(frame.ErrGone)
		case <-g.bad:
			return g.say(g.err)
		case <-s.changed:
			if err := s.reconcile(ctx, g); err != nil {
				return g.say(err)
			}
		}
	}
}

// ping asks for counters, which a worker answers whatever its engine does: one
// that does not is dead.
func (s *Supervisor) ping(ctx context.Context, g *generation) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	size := growth{most: s.cfg.MaxRSS, models: -1}
	for {
		var p frame.PingReply
		in, cancel := context.WithTimeout(ctx, pingTime)
		err := g.proc.Ask(in, frame.Ping, &p)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.fail(fmt.Errorf("no sign of life within %v: %w", pingTime, err))
			return
		}
		s.counted(p)
		if err := size.add(p, time.Since(g.began)); err != nil {
			g.fail(err)
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// counted takes what the worker counted, and puts the figures of the models together.
func (s *Supervisor) counted(p frame.PingReply) {
	s.mu.Lock()
	models := slices.Clone(s.models)
	s.mu.Unlock()
	var all []ModelStatus
	for _, m := range models {
		st := m.status()
		// While one is replaced by another of its name, the newer one is told of.
		all = append(slices.DeleteFunc(all, func(o ModelStatus) bool { return o.Name == st.Name }), st)
	}
	s.cfg.Engine.Update(func(st *Status) { st.Worker.RSS, st.Models = p.RSS, all })
}

// A growth watches over how much memory a worker has. What its models take when
// they come is theirs; what it gains afterwards is lost.
type growth struct {
	most   uint64 // bytes that it may gain
	models int
	base   uint64 // bytes that it had with so many models
}

// add looks at what a worker says that it has, and returns why it has to go. One
// that grows fast is faulty, and the next one would as well.
func (s *growth) add(p frame.PingReply, lived time.Duration) error {
	if p.Models != s.models {
		s.models, s.base = p.Models, p.RSS
	}
	switch {
	case p.RSS < s.base || p.RSS-s.base <= s.most:
		return nil
	case lived < healed:
		return fmt.Errorf("it has grown to %d MiB within %v", p.RSS>>20, lived.Round(time.Second))
	}
	return &plan{fmt.Sprintf("it has grown to %d MiB", p.RSS>>20)}
}

// stop ends a generation: after the inferences that are under way if it is
// well, at once if not. What of the models was in it is given back.
func (s *Supervisor) stop(ctx context.Context, g *generation, why error) error {
	bye := context.WithoutCancel(ctx)
	_, planned := errors.AsType[*plan](why)
	end := time.Nanosecond
	if planned || errors.Is(why, errUnused) || ctx.Err() != nil {
		end = byeTime
	}
	bye, cancel := context.WithTimeout(bye, end)
	defer cancel()
	if end == byeTime {
		quiet := make(chan struct{})
		go func() { // ends with the process at the latest
			g.asked.Wait()
			close(quiet)
		}()
		select {
		case <-quiet:
		case <-bye.Done():
		}
	}
	g.fail(ErrDown) // if it was not bad already: nobody waits for a slot of it
	if err := g.proc.close(bye); err != nil {
		s.stuck = g
		return err // its memory stays its own
	}
	s.bury(g)
	return nil
}

// bury puts away what is left of a generation whose worker has ended: the models
// have no place any more, and get one in the next.
func (s *Supervisor) bury(g *generation) {
	g.proc.work.Wait()
	g.asked.Wait()
	s.mu.Lock()
	for _, m := range s.models {
		m.leave(g)
	}
	s.mu.Unlock()
	s.prune()
}
