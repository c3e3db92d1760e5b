// Package infer runs models on whatever the node has to run them on: it holds
// the contract of a backend, and the bounded queue in front of a device.
package infer

import (
	"context"
	"errors"
	"os"

	"primespark/shared/tensor"
)

// ErrBusy means that a request was refused for want of room, and that another
// node may have some.
var ErrBusy = errors.New("inference queue is full")

// ErrClosed means that the session was closed, because its model was unloaded.
var ErrClosed = errors.New("model is not loaded")

// ErrMemory means that a model needs more memory than it may take.
var ErrMemory = errors.New("not enough memory for the model")

// ErrBroken means that the session met a fault of its engine and gives no answer
// any more; it is to be closed.
var ErrBroken = errors.New("model is broken")

// ErrDown means that the engine is out of service, for a while or for good, and
// that another engine may answer meanwhile. Nothing is wrong with the model, and
// its session is kept: it answers again when the engine does.
var ErrDown = errors.New("engine is out of service")

// A Refused is why an engine that is well does not answer a request, in words for people:
// the request is to blame, or what the manifest says of the model.
type Refused struct {
	Detail, Remedy string
	Err            error
}

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// A Device is a Backend whose engine is a machine of its own, such as an
// accelerator behind a worker process, which may be absent, fail and come back.
type Device interface {
	Backend
	// Parallel is how many inferences of a session, and of all together, may be
	// under way at a time: Infer calls on the device's sessions may overlap so far.
	Parallel() int
	// Service returns nil while the engine is in service, or why it is not, wrapping
	// ErrDown; and a channel that is closed when that may have changed.
	Service() (<-chan struct{}, error)
}

// A Backend makes sessions out of model files. One Backend serves one kind of
// engine; it is safe to share.
type Backend interface {
	// Engine is the name that a model manifest's variants call it by: "builtin".
	Engine() string
	// Load makes a session of one model file. The file was opened and hashed by
	// the caller and is only read during the call. A model that the engine cannot
	// run is refused here, with the operator, the node and the opset named, never later.
	// The session may hold memory bytes, 0 for as many as the engine finds right; a
	// model that needs more is refused with ErrMemory, before it has taken much more.
	Load(ctx context.Context, file *os.File, size, memory int64) (Session, error)
}

// A Shaper is a Backend that runs models whose files leave dimensions open, such as the
// batch or the size of an image, once they are given.
type Shaper interface {
	Backend
	// Shaped is the Backend whose Load gives the inputs so named the shapes they have
	// here; a model whose own fixed dimensions differ is refused by it. An engine whose
	// outputs may be Open takes -1 in those of outputs so named for what the data decide.
	Shaped(inputs, outputs []tensor.Spec) Backend
}

// A Session is a loaded model. It runs one inference at a time, unless it is of a
// Device: callers queue (see Queue), so an implementation may assume that Infer
// calls do not overlap.
type Session interface {
	// Inputs and Outputs describe the tensors, in the model's order. The slices
	// are not to be changed.
	Inputs() []tensor.Spec
	Outputs() []tensor.Spec
	// Infer reads in, in the order of Inputs, and fills the Data of out, in the
	// order of Outputs, whose types and shapes are those of Outputs. Where one is
	// Open it sets Shape and Data, to memory that is the caller's. It keeps
	// neither. It returns soon after ctx ends, with ctx's error. A Device's session
	// fails with ErrDown if the engine is out of service, or falls out of it.
	Infer(ctx context.Context, in, out []tensor.Tensor) error
	// Memory is how many bytes the session holds, or may come to hold, at most; the
	// tensors that Infer is given are not among them.
	Memory() int64
	// Close frees what the session holds; a second Close does nothing.
	Close() error
}
