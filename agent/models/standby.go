package models

import (
	"context"
	"errors"
	"sync"
	"time"

	"primespark/agent/infer"
	"primespark/shared/problem"
)

// A standby is the next variant of a model, which answers while the engine of the
// first is out of service. It is loaded when it is needed, and put away a while
// after the first is back. The zero value is none.
type standby struct {
	mu     sync.Mutex
	live   *live
	failed error     // why there is none
	since  time.Time // when that was found out
	used   time.Time // last
}

const (
	// dwell is how long a standby is kept after it was last of use: an engine that
	// comes back often goes once more.
	dwell = time.Minute
	// retry is how long a variant that could not be loaded is left alone.
	retry = 30 * time.Second
)

func (s *standby) get() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live
}

// dismiss takes the standby away and returns it, for the caller to retire.
func (s *standby) dismiss() *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.live
	s.live = nil
	return l
}

func (s *standby) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live != nil && time.Since(s.used) > dwell
}

// memory is what the standby counts for, in bytes.
func (s *standby) memory() int64 {
	if l := s.get(); l != nil {
		return l.memory
	}
	return 0
}

// outage is why the model's own engine is out of service, nil if it is not. It
// may be asked of none.
func (l *live) outage() error {
	if l == nil || l.device == nil {
		return nil
	}
	_, err := l.device.Service()
	return err
}

// able returns who answers for the model now: itself, its standby, or nobody.
func (l *live) able() *live {
	if l == nil || l.outage() == nil {
		return l
	}
	if s := l.standby.get(); s != nil {
		return s
	}
	if l.number+1 < len(l.Variants) && l.standby.hopeful() {
		return l // the first request that comes has it loaded
	}
	return nil
}

// hopeful reports whether a standby may still be had.
func (s *standby) hopeful() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed == nil
}

// excuse says who answers instead of the model's own engine, and why.
func (l *live) excuse(why error) string {
	if s := l.able(); s != nil && s != l {
		return s.engine + " answers meanwhile, since " + l.engine + " does not: " + why.Error()
	}
	return l.engine + " does not answer: " + why.Error()
}

// down is the problem of a model whose engine is out of service.
func down(name string, err error) *problem.Error {
	return &problem.Error{
		Code: problem.NotReady, Err: err, Detail: "Model " + name + " cannot be run here now: " + err.Error(),
		Remedy: "Ask another node; prime-spark-agent doctor says here what mends it.", RetryAfter: 5 * time.Second,
	}
}

// answer answers with the model, or with its standby while its engine is out of
// service. A request on which the engine failed is given to the standby, or once
// more to the engine if there is none: it was not answered, so nothing happens
// twice.
func (r *Registry) answer(ctx context.Context, l *live, req infer.Request) (infer.Response, error) {
	err := l.outage()
	if err == nil {
		var answer infer.Response
		if answer, err = l.infer(ctx, req); l.device == nil || !gone(err) {
			return answer, err
		}
	}
	s, none := r.instead(ctx, l)
	if none == nil {
		defer s.users.leave()
		return s.infer(ctx, req)
	}
	if ctx.Err() != nil {
		return infer.Response{}, ended(ctx, "The deadline passed while another engine was sought for model "+l.Name+".")
	}
	return l.infer(ctx, req) // it waits if the engine is to be back soon
}

// gone reports whether an engine failed, as opposed to a request or a model.
func gone(err error) bool { return errors.Is(err, infer.ErrDown) || errors.Is(err, infer.ErrCrashed) }

// enter returns the standby, entered, or why there is none: nil if nobody tried.
func (s *standby) enter() (*live, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.live != nil && s.live.users.enter():
		s.used = time.Now()
		return s.live, nil
	case s.live == nil && s.failed != nil && time.Since(s.since) < retry:
		return nil, s.failed
	}
	return nil, nil
}

// instead returns the standby of a model, entered by the caller, who leaves it;
// it is loaded first if there is none. The error says why there can be none.
func (r *Registry) instead(ctx context.Context, l *live) (*live, error) {
	if s, err := l.standby.enter(); s != nil || err != nil {
		return s, err
	}
	if err := r.lock(ctx); err != nil {
		return nil, err
	}
	defer r.unlock()
	if s, err := l.standby.enter(); s != nil || err != nil { // made by somebody else meanwhile
		return s, err
	}
	made, err := r.second(ctx, l)
	if err != nil {
		if ctx.Err() == nil {
			l.standby.fail(err)
		}
		return nil, err
	}
	made.users.enter()
	l.standby.set(made)
	r.cfg.Log.Warn("another engine answers meanwhile", "model", l.Name, "engine", made.engine, "instead_of", l.engine, "why", l.outage())
	return made, nil
}

func (s *standby) set(l *live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live, s.failed, s.used = l, nil, time.Now()
}

func (s *standby) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.since = err, time.Now()
}

// second loads the next variant of a model that works.
func (r *Registry) second(ctx context.Context, l *live) (*live, error) {
	if l.number+1 >= len(l.Variants) {
		return nil, errors.New("there is no other variant")
	}
	from, err := r.open(l.Name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	p, err := readPack(ctx, from, l.Manifest, l.manifest)
	if err != nil {
		return nil, err
	}
	defer p.close() // engines keep nothing of the files; they were only read
	made, _, err := r.serve(ctx, p, l, l.number+1)
	if err == nil {
		p.photo = nil
	}
	return made, err
}

// follow keeps the models with the engines that come and go, until ctx ends: a
// model goes to its first variant when the engine of that is there, and one whose
// engine went gets its standby before somebody asks.
func (r *Registry) follow(ctx context.Context) {
	var watching sync.WaitGroup
	defer watching.Wait()
	for _, b := range r.cfg.Backends {
		if d, ok := b.(infer.Device); ok {
			watching.Go(func() { r.attend(ctx, d) })
		}
	}
	r.attendCold(ctx)
}

// attend follows one device.
func (r *Registry) attend(ctx context.Context, d infer.Device) {
	tick := time.NewTicker(dwell / 2)
	defer tick.Stop()
	for {
		changed, out := d.Service()
		if out == nil {
			r.bringBack(ctx)
			r.tidy(d)
		} else {
			r.prepare(ctx, d)
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// bringBack loads the models anew for which an engine was out of service.
func (r *Registry) bringBack(ctx context.Context) {
	var names []string
	r.mu.RLock()
	for name, e := range r.models {
		if e.down {
			names = append(names, name)
		}
	}
	r.mu.RUnlock()
	for _, name := range names {
		if err := r.again(ctx, name); err != nil && ctx.Err() == nil {
			r.refuse(name, err)
			r.cfg.Log.Warn("model not brought back to its first engine", "model", name, "err", err)
		}
	}
}

// again loads a model though its package is the same.
func (r *Registry) again(ctx context.Context, name string) error {
	if err := r.lock(ctx); err != nil {
		return err
	}
	defer r.unlock()
	r.mu.Lock()
	e := r.models[name]
	if e == nil || !e.down {
		r.mu.Unlock()
		return nil
	}
	next := *e
	next.down = false // if its engine is out of service again, that is noted anew
	r.models[name] = &next
	r.mu.Unlock()
	from, err := r.open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	return r.replace(ctx, name, from, true)
}

// prepare loads the standby of each model on a device that is out of service.
func (r *Registry) prepare(ctx context.Context, d infer.Device) {
	for _, l := range r.on(d) {
		if ctx.Err() != nil || l.number+1 >= len(l.Variants) || !l.users.enter() {
			continue
		}
		if s, err := r.instead(ctx, l); err == nil {
			s.users.leave()
		}
		l.users.leave()
	}
}

// tidy puts the standbys away that were not needed for a while.
func (r *Registry) tidy(d infer.Device) {
	for _, l := range r.on(d) {
		if !l.standby.idle() {
			continue
		}
		if s := l.standby.dismiss(); s != nil {
			r.cfg.Log.Info("the first engine answers again", "model", l.Name, "engine", l.engine)
			s.retire() // after its last answers; nobody waits for them
		}
	}
}

// on lists the models whose engine is d.
func (r *Registry) on(d infer.Device) (all []*live) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, e := range r.models {
		if e.live != nil && e.live.device == d {
			all = append(all, e.live)
		}
	}
	return all
}
