// Package task is the vocabulary of the task queue: what a task is, which states
// it goes through, who holds it, and the rules that all sides keep.
//
// A task is pulled and leased. A lease is fenced: whoever reports by one that has
// passed to another is refused (problem.StaleLease), so that of two who work on
// one task only one result counts. A task is done at least once.
package task

import (
	"encoding/json"
	"time"
)

// A Kind names what is to be done. There is none that runs a command.
type Kind string

// The kinds.
const (
	Infer Kind = "infer" // Model looks at an image; input: InferInput, result: what the model says
	Noop  Kind = "noop"  // waits and ends as told, for drills and load tests; input: NoopInput
)

// Kinds are all of them.
var Kinds = [...]Kind{Infer, Noop}

// Valid reports whether k is one of the kinds.
func (k Kind) Valid() bool { return k == Infer || k == Noop }

// InferInput is the input of a task of kind Infer: a JPEG, PNG, WebP, BMP or TIFF image,
// either of the two.
type InferInput struct {
	Image  []byte  `json:"image,omitempty"`  // base64 in JSON
	Object *Object `json:"object,omitempty"` // that was handed in before
}

// NoopInput is the input of a task of kind Noop.
type NoopInput struct {
	Millis int    `json:"ms,omitempty"`   // how long it takes, 0 to MaxNoop
	Fail   string `json:"fail,omitempty"` // the error that it ends with; empty: it is done
}

// Bounds of a task.
const (
	MaxInput       = 1 << 20  // bytes of JSON
	MaxResult      = 64 << 10 // bytes of JSON; what is larger is an Object
	MaxRef         = 512      // bytes of such a reference
	MaxError       = 1 << 10  // bytes of an error that is kept; longer ones are cut
	MaxPriority    = 7        // the last of the priorities; 0 is the first
	MaxAttempts    = 100
	MaxLease       = 64               // tasks in one answer to a lease call
	MaxWait        = 30 * time.Second // of a long poll
	MaxNoop        = 10 * 60 * 1000   // ms
	MaxHorizon     = 366 * 24 * time.Hour
	MaxKey         = 128 // bytes of an Idempotency-Key
	DefaultPrio    = 4
	DefaultAttempt = 10
)

// Times of a lease.
const (
	LeaseFor   = 15 * time.Second // from when it was given or last renewed
	RenewEvery = 5 * time.Second  // by its holder
	// StartWithin is how old, by the holder's own monotonic clock, a lease that was
	// not renewed may be when work on it begins: 80 % of LeaseFor.
	StartWithin = LeaseFor * 8 / 10
)

// KeyFor is how long an Idempotency-Key is remembered.
const KeyFor = 24 * time.Hour

// A Spec is what somebody wants done.
type Spec struct {
	Kind        Kind            `json:"kind"`
	Model       string          `json:"model,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"` // by kind, at most MaxInput bytes
	Priority    *int            `json:"priority,omitempty"`
	NotBefore   time.Time       `json:"not_before,omitzero"`
	Deadline    time.Time       `json:"deadline,omitzero"` // past it the task is dead, done or not
	MaxAttempts int             `json:"max_attempts,omitempty"`
}

// An Outcome is how the last attempt at a task ended.
type Outcome string

// The outcomes.
const (
	Completed Outcome = "completed"
	Failed    Outcome = "failed"   // by word of its holder
	Expired   Outcome = "expired"  // its holder fell silent
	Released  Outcome = "released" // given back unharmed; it does not count as an attempt
)

// A Task is a task as it stands.
type Task struct {
	ID          string          `json:"id"`
	Kind        Kind            `json:"kind"`
	Model       string          `json:"model,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"` // dropped once done or cancelled; lists leave it out
	Priority    int             `json:"priority"`        // 0 to 7, 0 first
	NotBefore   time.Time       `json:"not_before,omitzero"`
	Deadline    time.Time       `json:"deadline,omitzero"`
	MaxAttempts int             `json:"max_attempts"`

	State    State     `json:"state"`
	Attempts int       `json:"attempts"` // begun since it was submitted or requeued
	By       string    `json:"by"`       // who submitted it: "token:ada"
	Created  time.Time `json:"created"`
	Changed  time.Time `json:"changed"`           // last change of state
	Due      time.Time `json:"due,omitzero"`      // when it becomes ready, or became so
	Lease    Lease     `json:"lease,omitzero"`    // of the last attempt
	Node     string    `json:"node,omitempty"`    // whose attempt it was
	Grant    string    `json:"grant,omitempty"`   // of the lease call that gave it
	Outcome  Outcome   `json:"outcome,omitempty"` // of the last attempt; empty while it runs
	Error    string    `json:"error,omitempty"`   // why it failed last, or why it is dead

	Result    json.RawMessage `json:"result,omitempty"`
	ResultRef string          `json:"result_ref,omitempty"` // where somebody else keeps a larger one
	// ResultObject is a larger result that the coordinators keep as long as the task.
	ResultObject *Object `json:"result_object,omitempty"`
}

// Head is the task without its input and result, as lists show it.
func (t Task) Head() Task {
	t.Input, t.Result = nil, nil
	return t
}

// Size is what a task weighs in memory, roughly, in bytes.
func (t Task) Size() int { return 512 + len(t.Input) + len(t.Result) + len(t.Error) + len(t.ResultRef) }
