package worker

import (
	"context"
	"time"

	"primespark/shared/worker/frame"
)

// An Engine is what differs between the workers of one kind and another. Look,
// Meet, Again and Found are called one after the other; the rest at any time.
type Engine interface {
	// Look looks at the host, before each start: how to start a worker, or why there
	// is no prospect in it.
	Look() (Program, *Down)
	// Meet is called with a worker that has said hello and can use its library,
	// before it is given models.
	Meet(ctx context.Context, p *Process) error
	// Watch measures what only this engine has, until ctx ends: when the worker goes.
	Watch(ctx context.Context, p *Process)
	// Again reports whether a worker that failed so is to be followed by another
	// program at once, which may fare better.
	Again(err error) bool
	// Found is what the end of a worker stands for; p is nil if none was started. ErrWedged
	// is one that cannot be ended.
	Found(err error, p *Process) Finding
	// Explain is what a failure of a request stands for. It may be one of the model,
	// or of the request: see OfModel and OfRequest.
	Explain(f *frame.Failure, p *Process) Finding
	// Gone is what is told of an inference during which the worker ended.
	Gone() Finding
	// Hung is the failure of an inference that took too long.
	Hung() *frame.Failure
	// OfModel reports a finding of Explain for which only the model's file is to blame.
	OfModel(Finding) bool
	// OfRequest reports a failure for which only the request is to blame: the worker
	// is as good as before.
	OfRequest(*frame.Failure) bool
	// Interrupted reports a failure that means nothing: the request is tried once more.
	Interrupted(*frame.Failure) bool
	// State is the state that a fault of that code leaves the engine in.
	State(Code) State
	// Update changes the part of the status that every engine has, in one step.
	Update(change func(*Status))
	// Now is that part as it is.
	Now() Status
}

// A Program is how a worker is started.
type Program struct {
	Kind     string        // for the engine's own use: "c", "python"
	Argv     []string      // what is started
	Env      []string      // all of its environment
	Socket   string        // where systemd starts it instead, with what is behind Argv[0]; empty: nowhere
	Patience time.Duration // how long it may take to say hello; 5 s
}
