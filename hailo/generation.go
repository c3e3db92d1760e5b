package hailo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"primespark/hailo/frame"
	"primespark/hailo/hef"
)

// A generation is one worker with the models that it has loaded. When it fails
// it is replaced as a whole: an engine that failed once is not asked again.
type generation struct {
	proc   *process
	hello  frame.HelloReply
	device frame.DeviceReply

	once sync.Once
	bad  chan struct{} // closed once err is set
	err  error         // why it has to go

	asked sync.WaitGroup // inferences under way

	began  time.Time
	errors int64 // of the PCIe link, that were put right until then
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
func (s *Supervisor) start(ctx context.Context, w Worker, facts Facts) (*generation, error) {
	library := s.cfg.Library
	if l, ok := facts.Library(); ok && library == "" {
		library = l.Path
	}
	env := w.environment(s.cfg.Dir)
	if w.Kind != "python" {
		if err := s.cfg.Host.monitor(); err != nil {
			s.cfg.Log.Warn("nobody will know how busy the accelerator is", "err", err)
		} else {
			env = append(env, "HAILO_MONITOR=1")
		}
	}
	proc, err := launch(w.command(library, s.cfg.Share), s.cfg.Dir, env)
	if err != nil {
		return nil, err
	}
	proc.python = w.Kind == "python"
	g := &generation{proc: proc, bad: make(chan struct{}), began: time.Now()}
	if chip, ok := facts.Chip(); ok {
		g.errors = chip.AERCorrectable
	}
	if err := s.introduce(ctx, g, facts); err != nil {
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

// introduce learns who the worker is and which chip it has.
func (s *Supervisor) introduce(ctx context.Context, g *generation, facts Facts) (err error) {
	patience := helloTime
	if g.proc.python {
		patience = pythonTime
	}
	hello, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if g.hello, err = g.proc.Hello(hello); err != nil {
		return err
	}
	if g.hello.Fault != frame.OK {
		return &frame.Failure{Type: frame.Hello, Status: g.hello.Fault, Detail: g.hello.Why}
	}
	device, cancel := context.WithTimeout(ctx, deviceTime)
	defer cancel()
	if err := g.proc.Ask(device, frame.Device, &g.device); err != nil {
		return late(device, err, frame.Failure{Type: frame.Device, Call: "hailo_identify"})
	}
	s.status.Update(func(st Status) Status {
		st.Worker = WorkerStatus{Kind: g.hello.Worker, PID: g.proc.pid, Layout: g.hello.Layout}
		st.Library, st.LibraryPath = g.hello.Library, g.hello.Path
		st.Chip, st.Firmware, st.Board = hef.Chip(g.device.Arch), g.device.Firmware, g.device.Board
		st.Arch = st.Chip.String()
		st.LinkErrors, st.Utilization = 0, nil
		st.hint()
		return st
	})
	return nil
}

// late is the failure of a library that has not come back from a call within the
// time that it is given; any other error stays what it is.
func late(in context.Context, err error, f frame.Failure) error {
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(in.Err(), context.DeadlineExceeded) {
		return err
	}
	f.Status, f.Detail = statusTimeout, "no answer in time"
	return &f
}

// firmwareHint compares the firmware with the library: a difference is no fault.
func firmwareHint(firmware, library string) []Finding {
	f, l := ParseVersion(firmware), ParseVersion(library)
	if f == l || f == (Version{}) || l == (Version{}) {
		return nil
	}
	return []Finding{warning(FirmwareMismatch, "Power the Pi off and on, so that the driver loads the firmware anew; then sudo apt full-upgrade.",
		"The chip's firmware is %v and HailoRT is %v.", f, l)}
}

func (s *Supervisor) ready(g *generation) {
	s.status.Update(func(st Status) Status {
		if st.State != StateReady {
			st.Since = time.Now().UTC()
		}
		st.State, st.Cause = StateReady, nil
		return st
	})
	s.cfg.Log.Info("hailo ready", "arch", hef.Chip(g.device.Arch).String(), "library", g.hello.Library, "firmware", g.device.Firmware, "worker", g.hello.Worker, "pid", g.proc.pid)
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
	watching.Go(func() { s.sense(ctx, g) })
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
		s.counted(g, p)
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

// sense asks the chip for its temperature. That it does not answer says nothing
// about inferences, and on some boards it never does.
func (s *Supervisor) sense(ctx context.Context, g *generation) {
	tick := time.NewTicker(senseEvery)
	defer tick.Stop()
	for {
		var r frame.SenseReply
		in, cancel := context.WithTimeout(ctx, senseTime)
		err := g.proc.Ask(in, frame.Sense, &r)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			r = frame.SenseReply{}
		}
		s.sensed(r)
		s.watched(g)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// stop ends a generation: after the inferences that are under way if it is
// well, at once if not. What of the models was in it is given back.
func (s *Supervisor) stop(ctx context.Context, g *generation, why error) error {
	bye := context.WithoutCancel(ctx)
	_, planned := errors.AsType[*plan](why)
	end := time.Nanosecond
	if planned || ctx.Err() != nil {
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

// jitter is d give or take a tenth, so that nodes that failed together do not
// come back together.
func jitter(d time.Duration) time.Duration { return d*9/10 + rand.N(d/5+1) }
