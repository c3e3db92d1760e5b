package agent

import (
	"context"
	"maps"
	"sync/atomic"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/agent/outbox"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// brakes are what is held back of the node while its power is short.
type brakes struct {
	loads atomic.Bool        // of models that are not resident
	sheds atomic.Bool        // work, by priority
	from  atomic.Int32       // priority from which on requests are refused
	sync  *watch.Value[bool] // samples wait here, save the urgent
	chip  *watch.Value[bool] // the accelerator rests
	fetch *watch.Value[bool] // model versions are not fetched
}

func newBrakes() *brakes {
	b := &brakes{sync: watch.New(false), chip: watch.New(false), fetch: watch.New(false)}
	b.from.Store(infer.MaxPriority + 1)
	return b
}

// cold says why no model is loaded that is not resident; nil if it is.
func (b *brakes) cold() error {
	if !b.loads.Load() {
		return nil
	}
	return problem.New(problem.NotReady, "Ask another node, or wait for the mains; power.actions in the config says what is held back.",
		"This node runs on battery and loads no models.")
}

// spare gives the newest values to somebody who tells of each that changes. While samples
// are held back, those that are not urgent stay as they were.
func (b *brakes) spare(newest func() telemetry.Newest) func() telemetry.Newest {
	var told telemetry.Newest // by the one goroutine that asks
	return func() telemetry.Newest {
		now := newest()
		if b.sync.Get() {
			now = maps.Clone(now)
			maps.DeleteFunc(now, func(s telemetry.Stream, _ telemetry.Sample) bool { return !outbox.Urgent(s) })
			for stream, sample := range told {
				if !outbox.Urgent(stream) {
					now[stream] = sample
				}
			}
		}
		told = now
		return now
	}
}

// A frugal registry refuses what the node's power does not allow.
type frugal struct {
	*models.Registry
	brakes *brakes
}

// Infer runs a model, unless work of that priority is shed.
func (f frugal) Infer(ctx context.Context, name, version string, req infer.Request) (infer.Response, error) {
	if from := f.brakes.from.Load(); f.brakes.sheds.Load() && int32(req.Priority) >= from {
		return infer.Response{}, problem.New(problem.NoCapacity, "Ask another node, send it with a smaller X-Priority, or wait for the mains.",
			"This node runs on battery and does nothing of priority %d and after.", from)
	}
	return f.Registry.Infer(ctx, name, version, req)
}

// Load loads a model, unless that has to wait for the mains. One that is resident
// may be loaded anew.
func (f frugal) Load(ctx context.Context, name string) error {
	if !f.Ready(name, "") {
		if err := f.brakes.cold(); err != nil {
			return err
		}
	}
	return f.Registry.Load(ctx, name)
}

// A resting part runs while it is not held back. why is the cause of its end by that; nil
// where nobody asks.
type resting struct {
	run.Part
	held *watch.Value[bool]
	why  error
}

// Run runs the part, again and again if it is held back in between, until ctx ends.
func (r resting) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		held, changed := r.held.Load()
		if held {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if err := r.until(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		if !r.held.Get() {
			return nil // it ended by itself, which is a fault
		}
	}
	return nil
}

// until runs the part until it is held back.
func (r resting) until(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with ctx, which until cancels
		for {
			held, changed := r.held.Load()
			if held {
				cancel(r.why)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	return r.Part.Run(ctx)
}
