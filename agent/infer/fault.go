package infer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	Paced   Fault = "paced"   // each takes PacedBy and no more, and gives what the last good one gave
)

// Faults are all that a configuration can name.
var Faults = []Fault{Crash, Hang, Garbage, Slow, Paced}

// SlowBy is what the fault Slow adds to one inference.
const SlowBy = 2 * time.Second

// PacedBy is what an inference takes on an engine that is Paced, as yolov8s does on a
// Hailo-8 in a Raspberry Pi 5: so a fleet shows how it scales on a machine of a few cores.
const PacedBy = 7 * time.Millisecond

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
func (f faulty) Shaped(inputs, outputs []tensor.Spec) Backend {
	if s, ok := f.Backend.(Shaper); ok {
		f.Backend = s.Shaped(inputs, outputs)
	}
	return f
}

type faultySession struct {
	Session
	faulty
	done atomic.Int64
	good []tensor.Tensor // outputs of the last good inference, of an engine that is to be paced
}

func (s *faultySession) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	if s.done.Add(1) <= s.after {
		err := s.Session.Infer(ctx, in, out)
		if s.fault == Paced && err == nil {
			s.good = nil
			for _, o := range out {
				o.Data = slices.Clone(o.Data)
				s.good = append(s.good, o)
			}
		}
		return err
	}
	switch s.fault {
	case Paced:
		for i, o := range s.good {
			out[i].Shape, out[i].Data = o.Shape, append(out[i].Data[:0], o.Data...)
		}
		return wait(ctx, PacedBy)
	case Crash:
		return fmt.Errorf("simulated fault: %w", ErrCrashed)
	case Hang:
		<-ctx.Done()
		return ctx.Err()
	case Slow:
		if err := wait(ctx, SlowBy); err != nil {
			return err
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

// wait returns after d, or with the error of a context that ends before.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
