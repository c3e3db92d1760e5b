package builtin

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
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
}

// DefaultMemory is the memory that a session may use unless told otherwise.
const DefaultMemory = 512 << 20

var _ infer.Backend = Backend{}

// Engine is the name of the engine in a model's manifest.
func (Backend) Engine() string { return "builtin" }

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
	o := options{kernels: kernel.Best(), threads: b.Threads, memory: b.Memory}
	if b.Kernels != nil {
		o.kernels = *b.Kernels
	}
	if o.threads <= 0 {
		o.threads = runtime.GOMAXPROCS(0)
	}
	if o.memory <= 0 {
		o.memory = DefaultMemory
	}
	c, err := compile(ctx, model, o)
	if err != nil {
		return nil, fmt.Errorf("ONNX model: %w", err)
	}
	p, err := c.plan()
	if err != nil {
		return nil, fmt.Errorf("ONNX model: %w", err)
	}
	return newSession(c, p), nil
}
