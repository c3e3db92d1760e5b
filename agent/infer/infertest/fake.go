package infertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"primespark/agent/infer"
	"primespark/shared/tensor"
)

// Model is the file that a Fake loads; it refuses any that does not begin so.
const Model = "infertest fake model\n"

// A Fake is a backend without an engine. Its outputs are a hash of its inputs,
// or what Answer makes of them. Wrap it in infer.Faulty to make it misbehave.
type Fake struct {
	Name            string // of the engine; "fake" if empty
	Inputs, Outputs []tensor.Spec
	Cost            time.Duration // of one inference
	Holds           int64         // bytes that a session says it holds; 1024 if 0
	// Answer fills out, if set. It is never called twice at a time for one session.
	Answer func(in, out []tensor.Tensor) error
}

// Engine is the name in manifests.
func (f *Fake) Engine() string {
	if f.Name == "" {
		return "fake"
	}
	return f.Name
}

// Load makes a session of a file that begins with Model.
func (f *Fake) Load(ctx context.Context, file *os.File, _, memory int64) (infer.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if memory > 0 && f.holds() > memory {
		return nil, fmt.Errorf("%w: %d bytes, and it may take %d", infer.ErrMemory, f.holds(), memory)
	}
	head := make([]byte, len(Model))
	if _, err := file.ReadAt(head, 0); err != nil || !bytes.Equal(head, []byte(Model)) {
		return nil, errors.New("not a model of the fake engine")
	}
	return &fakeSession{fake: f}, nil
}

func (f *Fake) holds() int64 {
	if f.Holds == 0 {
		return 1 << 10
	}
	return f.Holds
}

// A Wide is a Fake whose model leaves the first dimension open.
type Wide struct{ Fake }

// Shaped is the Fake with the first dimension of the first of these inputs.
func (w *Wide) Shaped(inputs, _ []tensor.Spec) infer.Backend {
	if len(inputs) == 0 {
		return w
	}
	f := w.Fake
	for _, specs := range []*[]tensor.Spec{&f.Inputs, &f.Outputs} {
		*specs = slices.Clone(*specs)
		for i, s := range *specs {
			(*specs)[i].Shape = append([]int{inputs[0].Shape[0]}, s.Shape[1:]...)
		}
	}
	return &f
}

type fakeSession struct {
	fake   *Fake
	mu     sync.Mutex // held during an inference, so that Close waits for it
	closed bool
}

func (s *fakeSession) Inputs() []tensor.Spec  { return s.fake.Inputs }
func (s *fakeSession) Outputs() []tensor.Spec { return s.fake.Outputs }
func (s *fakeSession) Memory() int64          { return s.fake.holds() }

func (s *fakeSession) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return infer.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := errors.Join(infer.Fit(in, s.fake.Inputs), infer.Fit(out, s.fake.Outputs)); err != nil {
		return err
	}
	if s.fake.Cost > 0 {
		t := time.NewTimer(s.fake.Cost)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.fake.Answer != nil {
		return s.fake.Answer(in, out)
	}
	digest(in, out)
	return nil
}

func (s *fakeSession) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// digest fills out with numbers from 0 to 1 that depend on every byte of in.
func digest(in, out []tensor.Tensor) {
	h := fnv.New64a()
	for _, t := range in {
		// A hash never fails to be written.
		_, _ = h.Write(t.Data)
	}
	seed := h.Sum64()
	for _, t := range out {
		if t.Type == tensor.Float32 {
			for i := range t.Float32s() {
				t.Float32s()[i] = float32(mix(seed, i)) / math.MaxUint32
			}
			continue
		}
		for i := range t.Data {
			t.Data[i] = byte(mix(seed, i))
		}
	}
}

func mix(seed uint64, i int) uint32 {
	x := (seed + uint64(i)) * 0x9e3779b97f4a7c15 // Fibonacci hashing, TAOCP 3, 6.4
	return uint32(x >> 32)
}

// A Device is a Fake that may fall out of service.
type Device struct {
	Fake
	Slots int // inferences at a time; 1 if 0
	out   atomic.Pointer[outage]
}

// An outage is a state of a Device: in service if err is nil.
type outage struct {
	err     error
	changed chan struct{}
}

// Set takes the device out of service for the reason err, or back into it if that
// is nil.
func (d *Device) Set(err error) {
	if err != nil {
		err = fmt.Errorf("%w: %w", infer.ErrDown, err)
	}
	if old := d.out.Swap(&outage{err, make(chan struct{})}); old != nil {
		close(old.changed)
	}
}

// Parallel is Slots.
func (d *Device) Parallel() int { return max(1, d.Slots) }

// Service is what Set has set.
func (d *Device) Service() (<-chan struct{}, error) {
	if d.out.Load() == nil {
		d.out.CompareAndSwap(nil, &outage{nil, make(chan struct{})})
	}
	now := d.out.Load()
	return now.changed, now.err
}

// Load fails while the device is out of service.
func (d *Device) Load(ctx context.Context, file *os.File, size, memory int64) (infer.Session, error) {
	if _, err := d.Service(); err != nil {
		return nil, err
	}
	s, err := d.Fake.Load(ctx, file, size, memory)
	if err != nil {
		return nil, err
	}
	return deviceSession{s, d}, nil
}

type deviceSession struct {
	infer.Session
	device *Device
}

func (s deviceSession) Infer(ctx context.Context, in, out []tensor.Tensor) error {
	if _, err := s.device.Service(); err != nil {
		return err
	}
	return s.Session.Infer(ctx, in, out)
}
