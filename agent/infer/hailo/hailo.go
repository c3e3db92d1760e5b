// Package hailo runs models on a Hailo accelerator, as a backend of the agent:
// pixels go in as bytes, in the order height, width, channel, and what comes out
// are float32 numbers, or the boxes that the model has chosen itself.
//
// A model is checked by our own reader before the vendor's library sees it. What
// the accelerator lacks, and what becomes of its worker, is package
// primespark/hailo's matter; here it only becomes an error that the agent knows.
package hailo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"primespark/agent/infer"
	"primespark/agent/infer/native"
	chip "primespark/hailo"
	"primespark/shared/tensor"
	"primespark/shared/worker/frame"
)

// Engine is the name in manifests.
const Engine = "hailo"

// A Backend gives sessions on the chip that a supervisor keeps. Make it with New.
type Backend struct {
	chip  *chip.Supervisor
	depth int
}

// New returns a backend with so many inferences at a time.
func New(s *chip.Supervisor, depth int) *Backend { return &Backend{s, depth} }

// Engine is the name in manifests.
func (*Backend) Engine() string { return Engine }

// Parallel is how many inferences of a model may be under way.
func (b *Backend) Parallel() int { return b.depth }

// Service is whether the chip is in service.
func (b *Backend) Service() (<-chan struct{}, error) {
	_, changed := b.chip.Status().Load()
	return changed, native.Known(b.chip.Down())
}

// Load checks a HEF and has the chip's worker load it.
func (b *Backend) Load(ctx context.Context, file *os.File, size, memory int64) (infer.Session, error) {
	spec, h, err := chip.ReadSpec(file, size)
	if err != nil {
		return nil, err
	}
	if err := b.chip.Status().Get().Fits(h); err != nil {
		return nil, err
	}
	m, err := b.chip.Add(ctx, spec)
	if err != nil {
		return nil, native.Known(err)
	}
	// What the chip itself holds is not the host's.
	s := &native.Session{Model: m, Holds: m.Memory(), Take: func(i int, to, from []byte) {
		if t := m.Shape().Outputs[i]; t.Layout == frame.ByClass {
			boxes(to, from, t.Classes, t.PerClass)
		} else {
			copy(to, from)
		}
	}}
	for _, side := range []struct {
		from []frame.Tensor
		to   *[]tensor.Spec
	}{{m.Shape().Inputs, &s.In}, {m.Shape().Outputs, &s.Out}} {
		for _, t := range side.from {
			*side.to = append(*side.to, describe(t))
		}
	}
	if memory > 0 && s.Memory() > memory {
		return nil, errors.Join(fmt.Errorf("%w: %d bytes, and it may take %d", infer.ErrMemory, s.Memory(), memory), s.Close())
	}
	return s, nil
}

// describe tells of a tensor of the worker's in the words of the protocol. Boxes by
// class are [1, classes, 1 + 5 × most of a class], as the post-processing reads them.
func describe(t frame.Tensor) tensor.Spec {
	shape := slices.Clone(t.Shape)
	switch {
	case t.Layout == frame.ByClass:
		shape = []int{1, t.Classes, 1 + 5*t.PerClass}
	case t.Layout == "nc" && len(shape) > 1:
		shape = []int{1, shape[len(shape)-1]}
	case len(shape) < 4 && shape[0] != 1:
		shape = append([]int{1}, shape...)
	}
	return tensor.Spec{Name: t.Name, Type: t.Type, Shape: shape}
}

// boxes copies what is told of boxes, and clears the rest, which is left of
// earlier inferences.
func boxes(to, from []byte, classes, most int) {
	clear(to[copy(to, from[:chip.NMSBytes(from, classes, most)]):])
}
