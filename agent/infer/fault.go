package infer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"primespark/shared/tensor"
)

// A Fault is a way in which an engine misbehaves, for demonstrations and tests
// of what the rest of the system makes of it (`infer.fault` in the agent's file).
type Fault string

// The faults.
const (
	NoFault Fault = ""
	Crash   Fault = "crash"   // each inference fails at once with ErrCrashed
	Hang    Fault = "hang"    // none ends before its context does
	Garbage Fault = "garbage" // the outputs are noise, NaN where a float can be
	Slow    Fault = "slow"    // each takes SlowBy longer
)

// Faults are all that a configuration can name.
var Faults = []Fault{Crash, Hang, Garbage, Slow}

// SlowBy is what the fault Slow adds to one inference.
const SlowBy = 2 * time.Second

// ErrCrashed means that the engine died during the inference.
var ErrCrashed = errors.New("engine crashed")

// Faulty returns b with a fault that shows in each of its sessions after that
// many good inferences; with NoFault, b itself.
func Faulty(b Backend, fault Fault, after int) Backend {
	if fault == NoFault {
		return b
	}
	f := faulty{b, fault, int64(after)}
	if d, ok := b.(Device); ok {
		return faultyDevice{f, d}
	}
	return f
}

// A faultyDevice is a device all the same.
type faultyDevice struct {
	faulty
	device Device
}

func (f faultyDevice) Parallel() int                     { return f.device.Parallel() }
func (f faultyDevice) Service() (<-chan struct{}, error) { return f.device.Service() }

type faulty struct {
	Backend
	fault Fault
	after int64
}

func (f faulty) Load(ctx context.Context, file *os.File, size, memory int64) (Session, error) {
	s, err := f.Backend.Load(ctx, file, size, memory)
	if err != nil {
		return nil, err
	}
	return &faultySession{Session: s, faulty: f}, nil
}

// Shaped passes the shapes on to an engine that takes them.
func (f faulty) Shaped(inputs []tensor.Spec) Backend {
	if s, ok := f.Backend.(Shaper); ok {
		f.Backend = s.Shaped(inputs)
	}
	return f
}

type faultySession struct {
	Session
	faulty
	done atomic.Int64
}

func (s *faultySession) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	if s.done.Add(1) <= s.after {
		return s.Session.Infer(ctx, in, out)
	}
	switch s.fault {
	case Crash:
		return fmt.Errorf("simulated fault: %w", ErrCrashed)
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Slow:
		t := time.NewTimer(SlowBy)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		return s.Session.Infer(ctx, in, out)
	}
	for _, o := range out {
		for i := range o.Data {
			o.Data[i] = 0xff // NaN in every float format
		}
	}
	return nil
}
