// Package onnxruntime runs models with ONNX Runtime, as a backend of the agent: ONNX
// files of the opsets and operators that the host's library has. It runs in a process
// of its own, which is package primespark/agent/onnxruntime's matter.
package onnxruntime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"primespark/agent/infer"
	"primespark/agent/infer/native"
	runtime "primespark/agent/onnxruntime"
	"primespark/shared/tensor"
	"primespark/shared/worker"
	"primespark/shared/worker/frame"
)

// Engine is the name in manifests.
const Engine = "onnxruntime"

// What a session is taken to hold in the worker, besides its tensors: ONNX Runtime keeps
// its weights, a copy of some in the order in which its kernels want them, and the
// tensors in between. That is an estimate, above what was measured of eleven networks of
// vision; what the worker has in all is bounded by onnxruntime.memory.
const (
	baseBytes = 16 << 20
	perByte   = 4 // of the file
)

// largest is the largest file, since what is in one has at most 2 GiB (protobuf).
const largest = 2 << 30

// A Backend gives sessions in the worker that a supervisor keeps. Make it with New.
type Backend struct {
	sup     *runtime.Supervisor
	shapes  []frame.Shape
	outputs []frame.Output
}

var (
	_ infer.Shaper = (*Backend)(nil)
	_ infer.Device = (*Backend)(nil)
)

// New returns a backend over a supervisor.
func New(s *runtime.Supervisor) *Backend { return &Backend{sup: s} }

// Engine is the name in manifests.
func (*Backend) Engine() string { return Engine }

// Parallel is how many inferences of a model may be under way.
func (b *Backend) Parallel() int { return b.sup.Depth() }

// Service is whether the library is there, and its worker runs.
func (b *Backend) Service() (<-chan struct{}, error) {
	_, changed := b.sup.Status().Load()
	return changed, native.Known(b.sup.Down())
}

// Shaped is the Backend that gives the inputs so named the shapes they have here, and
// leaves those dimensions of outputs so named to the data that are -1.
func (b *Backend) Shaped(inputs, outputs []tensor.Spec) infer.Backend {
	shaped := &Backend{sup: b.sup}
	for _, in := range inputs {
		if len(in.Shape) > 0 {
			shaped.shapes = append(shaped.shapes, frame.Shape{Name: in.Name, Dims: in.Shape, Sample: in.Sample})
		}
	}
	for _, out := range outputs {
		o := frame.Output{Name: out.Name, Most: out.Most}
		for _, d := range out.Shape {
			o.Open = append(o.Open, d == -1)
		}
		shaped.outputs = append(shaped.outputs, o)
	}
	return shaped
}

// Load has the worker load an ONNX file.
func (b *Backend) Load(ctx context.Context, file *os.File, size, memory int64) (infer.Session, error) {
	if size < 1 || size > largest {
		return nil, fmt.Errorf("ONNX model of %d bytes: want 1 to %d", size, int64(largest))
	}
	holds := baseBytes + perByte*size
	if err := fits(holds, memory); err != nil {
		return nil, err // before the worker takes any
	}
	m, err := b.sup.Add(ctx, worker.Spec{Name: label(file.Name()), File: file, Shapes: b.shapes, Outputs: b.outputs})
	if err != nil {
		return nil, native.Known(err)
	}
	s := &native.Session{Model: m, In: specs(m.Shape().Inputs), Out: specs(m.Shape().Outputs), Holds: holds + m.Memory()}
	if err := fits(s.Holds, memory); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func fits(holds, memory int64) error {
	if memory > 0 && holds > memory {
		return fmt.Errorf("%w: ONNX Runtime takes about %d bytes for it, and it may take %d", infer.ErrMemory, holds, memory)
	}
	return nil
}

func specs(side []frame.Tensor) []tensor.Spec {
	all := make([]tensor.Spec, len(side))
	for i, t := range side {
		all[i] = tensor.Spec{Name: t.Name, Type: t.Type, Shape: t.Shape}
		if t.Open() {
			all[i].Most = t.Bytes / t.Type.Size()
		}
	}
	return all
}

// label is a file's name, as far as messages to people have room for it.
func label(path string) string {
	name := []byte(filepath.Base(path))
	for i, c := range name {
		if c < 0x20 || c == 0x7f {
			name[i] = '?'
		}
	}
	return string(name[:min(len(name), frame.MaxName)])
}
