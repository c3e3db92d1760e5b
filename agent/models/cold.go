package models

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"primespark/shared/model"
	"primespark/shared/problem"
)

// quiet is how long nobody asked for a model that makes room for one that somebody asks
// for: two that do not fit beside each other would push each other out at each request.
const quiet = 5 * time.Second

// wakeful bounds the models that wait for being loaded.
const wakeful = 64

// loadRoom is Load, which unloads others if there is no room: those that nobody asked
// for in the last idle, the one that was used longest ago first.
func (r *Registry) loadRoom(ctx context.Context, name string, idle time.Duration) error {
	for {
		err := r.loadOnce(ctx, name)
		if !problem.Is(err, problem.NoCapacity) || errors.Is(err, errNever) || r.hopeless(name, err, idle) || !r.makeRoom(ctx, name, idle) {
			return err
		}
	}
}

// makeRoom unloads one model, and reports false if there is none to unload.
func (r *Registry) makeRoom(ctx context.Context, name string, idle time.Duration) bool {
	if err := r.lock(ctx); err != nil {
		return false
	}
	defer r.unlock()
	r.mu.Lock()
	var oldest *live
	for _, e := range r.models {
		l := e.live
		if l == nil || l.Name == name || l.users.busy() || time.Since(l.lastUse()) < idle {
			continue
		}
		if oldest == nil || l.lastUse().Before(oldest.lastUse()) {
			oldest = l
		}
	}
	if oldest == nil {
		r.mu.Unlock()
		return false
	}
	r.models[oldest.Name] = &entry{cold: true, status: model.Status{
		Name: oldest.Name, Version: oldest.Version, State: model.Unavailable, Reason: "unloaded to make room for " + name + "; the next request loads it",
	}}
	r.mu.Unlock()
	select {
	case err := <-oldest.retire():
		if r.cfg.Free != nil {
			debug.FreeOSMemory() // what the host is asked for next is to be seen there
		}
		r.cfg.Log.Info("model unloaded to make room", "model", oldest.Name, "for", name, "err", err)
	case <-ctx.Done(): // it goes on by itself
	}
	return true
}

// lastUse is when somebody asked for the model last, or when it was loaded.
func (l *live) lastUse() time.Time { return time.Unix(0, l.used.Load()) }

// wake has a model loaded that is on the disk, and says when to come back. It returns
// nil for a model that is not cold.
func (r *Registry) wake(name string) error {
	free, known := r.free()
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.models[name]
	if e == nil || e.live != nil {
		return nil
	}
	if e.cold {
		if r.cfg.Hold != nil {
			if err := r.cfg.Hold(); err != nil {
				return err
			}
		}
		if known {
			if err := r.swaps(name, free, quiet); err != nil {
				return err
			}
		}
		if err := r.crammed(name, quiet); err != nil {
			return err
		}
		select {
		case r.waking <- name:
		default:
			return problem.New(problem.Busy, "Try again in a few seconds.", "Model %s is to be loaded, and %d others are waiting for that.", name, wakeful)
		}
		next := *e
		next.cold, next.since = false, time.Now()
		next.status.State, next.status.Reason = model.Loading, "being loaded"
		r.models[name], e = &next, &next
	}
	if e.since.IsZero() || e.status.State != model.Loading {
		return nil
	}
	return loading(e.status, time.Since(e.since), r.took[name])
}

// loading is the problem of a model that is being loaded since so long, and took so
// long the last time; 0 if it never was.
func loading(s model.Status, since, took time.Duration) error {
	p := problem.New(problem.NotReady, "Try again after the time in Retry-After, or ask another node.",
		"Model %s is being loaded, for %.1f s so far.", s.Name, since.Seconds())
	p.RetryAfter = time.Second
	if left := took - since; took > 0 {
		p.Detail = fmt.Sprintf("Model %s is being loaded, %d %% by the %.1f s that it took the last time.", s.Name, min(99, 100*since/took), took.Seconds())
		p.RetryAfter = max(left, time.Second)
	}
	return p
}

// attendCold loads the models that somebody asked for, until ctx ends.
func (r *Registry) attendCold(ctx context.Context) {
	for {
		select {
		case name := <-r.waking:
			// The reason is in the index and in the log.
			if err := r.loadRoom(ctx, name, quiet); err != nil && !errors.Is(err, ctx.Err()) {
				r.cfg.Log.Info("model not loaded for a request", "model", name, "err", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
