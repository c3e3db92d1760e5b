package builtin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
	"primespark/shared/tensor"
)

// A Backend is the builtin engine. The zero Backend is ready for use, and it is
// safe to share.
type Backend struct {
	// Threads is the number of workers of a session; 0 is runtime.GOMAXPROCS when
	// the model is loaded.
	Threads int
	// Memory bounds what one session may use for weights, tensors and scratch, in
	// bytes, where Load names no bound; 0 is DefaultMemory.
	Memory int64
	// Kernels names a set to work with instead of the fastest: kernel.Plain for
	// plain Go. nil is kernel.Best.
	Kernels *kernel.Set
	// Time bounds what Load may take; 0 is DefaultTime.
	Time time.Duration
	// Shapes are shapes of inputs, by name. They close the dimensions that a file leaves
	// open: the batch, or the size of an image. A dimension that the file fixes must be
	// the same; a scalar of the file may be [1] here. An input without a shape here has a
	// batch of 1.
	Shapes map[string][]int
}

// What a session may use, and Load take, unless told otherwise. A model of a hundred
// megabytes is loaded within a second.
const (
	DefaultMemory = 512 << 20
	DefaultTime   = 30 * time.Second
)

var errSlow = errors.New("loading it takes too long; run the model on another engine, or a smaller one")

var _ infer.Shaper = Backend{}

// Engine is the name of the engine in a model's manifest.
func (Backend) Engine() string { return "builtin" }

// Shaped is the Backend that gives the inputs so named the shapes they have here.
func (b Backend) Shaped(inputs, _ []tensor.Spec) infer.Backend {
	b.Shapes = map[string][]int{}
	for _, in := range inputs {
		b.Shapes[in.Name] = in.Shape
	}
	return b
}

// Load reads, checks and compiles an ONNX file. What the engine cannot run is
// refused here, with the node, its operator and the opset named.
func (b Backend) Load(ctx context.Context, file *os.File, size, memory int64) (infer.Session, error) {
	if memory > 0 {
		b.Memory = memory
	}
	if size < 0 || size > onnx.MaxFile {
		return nil, fmt.Errorf("ONNX model of %d bytes: at most %d are read", size, onnx.MaxFile)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), data); err != nil {
		return nil, fmt.Errorf("read ONNX model: %w", err)
	}
	s, err := b.LoadBytes(ctx, data)
	if err != nil {
		return nil, err // not s, which would be a session that is not nil
	}
	return s, nil
}

// LoadBytes is Load for a model that is in memory. The session keeps data, which
// must not change.
func (b Backend) LoadBytes(ctx context.Context, data []byte) (s *Session, err error) {
	// The last guard: shapes are checked before anything runs, and no panic is
	// known. Should a file find one yet, it costs this model and not the daemon.
	defer func() {
		if fault := recover(); fault != nil {
			s, err = nil, fmt.Errorf("ONNX model: a fault of the builtin engine: %v; please report it with the model", fault)
		}
	}()
	model, err := onnx.Read(data)
	if err != nil {
		return nil, fmt.Errorf("ONNX model: %w", err)
	}
	return b.open(ctx, model)
}

func (b Backend) open(ctx context.Context, model *onnx.Model) (*Session, error) {
	o := options{kernels: kernel.Best(), threads: b.Threads, memory: b.Memory, shapes: b.Shapes}
	if b.Kernels != nil {
		o.kernels = *b.Kernels
	}
	if o.threads <= 0 {
		o.threads = runtime.GOMAXPROCS(0)
	}
	if o.memory <= 0 {
		o.memory = DefaultMemory
	}
	if b.Time <= 0 {
		b.Time = DefaultTime
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.Time, fmt.Errorf("%w (more than %v)", errSlow, b.Time))
	defer cancel()
	s, err := build(ctx, model, o)
	if err != nil {
		return nil, fmt.Errorf("ONNX model: %w", err)
	}
	return s, nil
}

// build makes a session of a model, unless ctx ends before.
func build(ctx context.Context, model *onnx.Model, o options) (*Session, error) {
	c, err := compile(ctx, model, o)
	if err != nil {
		return nil, err
	}
	p, err := c.plan()
	if err != nil {
		return nil, err
	}
	return newSession(c, p)
}
