// Package lead runs the work that only one coordinator may do at a time.
//
// Two leaders can overlap for a moment, so all that happens here is safe to do
// twice: it is proposing commands, of which only one leader's count.
package lead

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// While runs work each time that this coordinator leads, and ends its context
// when it no longer does. It returns when ctx ends.
func While(ctx context.Context, leading *watch.Value[bool], work func(context.Context)) {
	for ctx.Err() == nil {
		yes, changed := leading.Load()
		if !yes {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		term, end := context.WithCancel(ctx)
		done := make(chan struct{})
		go func() { defer close(done); work(term) }() // waited for below
		select {
		case <-changed:
		case <-ctx.Done():
		}
		end()
		<-done
	}
}

// Part makes a part of the daemon of loops that run while this coordinator
// leads. A loop that fails is run again while it does.
func Part(leading *watch.Value[bool], log *slog.Logger, loops ...run.Part) run.Part {
	return run.Func("leader's loops", func(ctx context.Context) error {
		again := make([]run.Part, len(loops))
		for i, l := range loops {
			again[i] = run.Restart(l, log)
		}
		While(ctx, leading, func(ctx context.Context) {
			if err := run.All(ctx, again...); err != nil {
				log.Error("leader's loops ended", "err", err) // cannot be: Restart returns nil
			}
		})
		return nil
	})
}

// Group is what a loop needs of the raft node.
type Group interface {
	State() (fsm.State, <-chan struct{})
	Propose(ctx context.Context, actor string, c fsm.Command) (json.RawMessage, error)
}

// Actor is who proposes what no person asked for.
const Actor = "leader"

// pruneEvery is how long an expired join code may stay: nobody can use it, it is
// only in the way.
const pruneEvery = time.Minute

// Prune is the loop that drops join codes and denied keys that have expired.
func Prune(g Group, log *slog.Logger) run.Part {
	return run.Func("prune join codes", func(ctx context.Context) error {
		for run.Sleep(ctx, run.Jitter(pruneEvery)) {
			state, _ := g.State()
			if !state.Prunable(time.Now()) {
				continue
			}
			if _, err := g.Propose(ctx, Actor, fsm.Prune{}); err != nil && ctx.Err() == nil {
				if !problem.Is(err, problem.NoLeader) && !problem.Is(err, problem.NoQuorum) {
					return err
				}
				log.Debug("nothing pruned this time", "err", err) // the next minute, or the next leader
			}
		}
		return nil
	})
}
