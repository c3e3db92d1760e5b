// Package run keeps the parts of a daemon running, and stops them together.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"
)

// A Part is one long-running piece of a daemon.
//
// Run works until ctx ends, then puts its things away and returns nil.
// Returning early, with or without an error, is a fault of the part.
type Part interface {
	Run(ctx context.Context) error
	String() string // for logs: "battery monitor"
}

// ErrEarly marks a part that returned before it was asked to.
var ErrEarly = errors.New("stopped early")

// All runs parts until ctx ends or one of them fails, waits for every one of
// them to return, and reports the first failure. Each part has its own context,
// and they end in reverse order of the list: what was named first, and is used
// by those after it, stops last.
func All(ctx context.Context, parts ...Part) error {
	g, failed := errgroup.WithContext(context.WithoutCancel(ctx))
	type running struct {
		cancel context.CancelFunc
		done   chan struct{}
	}
	var all []running
	for _, p := range parts {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		r := running{cancel, make(chan struct{})}
		all = append(all, r)
		g.Go(func() error {
			defer close(r.done)
			return once(own, p)
		})
	}
	select {
	case <-ctx.Done():
	case <-failed.Done():
	}
	for i := len(all) - 1; i >= 0; i-- {
		all[i].cancel()
		<-all[i].done
	}
	return g.Wait()
}

func once(ctx context.Context, p Part) error {
	err := p.Run(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		err = ErrEarly
	}
	return fmt.Errorf("%s: %w", p, err)
}

// Func makes a part of a function and a name for logs.
func Func(name string, f func(context.Context) error) Part { return named{name, f} }

type named struct {
	name string
	f    func(context.Context) error
}

func (n named) Run(ctx context.Context) error { return n.f(ctx) }
func (n named) String() string                { return n.name }

// Restart returns p as a part that outlives its failures: after each one it
// waits, 1 s at first and twice as long each time up to 1 min, and runs p again.
// Use it for what the node can do without for a while.
func Restart(p Part, log *slog.Logger) Part { return restarted{p, log} }

type restarted struct {
	Part
	log *slog.Logger
}

func (r restarted) Run(ctx context.Context) error {
	const least, most, settled = time.Second, time.Minute, 10 * time.Minute
	wait := least
	for {
		start := time.Now()
		err := once(ctx, r.Part)
		if err == nil {
			return nil
		}
		if time.Since(start) > settled {
			wait = least
		}
		r.log.Warn("part failed, restarting", "part", r.String(), "in", wait.String(), "err", err)
		if !Sleep(ctx, Jitter(wait)) {
			return nil
		}
		wait = min(2*wait, most)
	}
}

// Sleep waits for d and reports whether ctx was still alive at the end of it.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Jitter returns d give or take 20 %, so that nodes that failed together do
// not come back together.
func Jitter(d time.Duration) time.Duration {
	return d*4/5 + rand.N(d*2/5+1)
}
