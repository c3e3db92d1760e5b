package infer

import (
	"time"

	"primespark/shared/tensor"
)

// A Request is one inference as a model gets it. Its deadline is that of the
// context it comes with.
type Request struct {
	// Inputs are the model's tensors by name, or a single BYTES tensor of shape
	// [1] that holds a JPEG, PNG, WebP, BMP or TIFF, for a model that has a preprocess step.
	Inputs []tensor.Tensor
	// Postprocess asks for labels and boxes instead of the raw outputs. Nil means
	// yes if the input is an image.
	Postprocess *bool
	Priority    int // 0 to 7, 0 first
	Cache       Cache
}

// Cache says what a request wants of results that were computed before.
type Cache int

// The wishes.
const (
	UseCache Cache = iota // answer with one, if there is one
	NoCache               // compute it anew, and keep that
	NoStore               // compute it anew, and keep nothing
)

// Kept says what came of that.
type Kept int

// The ways.
const (
	Unasked Kept = iota // nobody looked
	Hit                 // the answer is one of before
	Miss                // there was none; the next one may hit
)

// A Response is the answer to a Request. The caller owns it.
type Response struct {
	Backend string // engine that answered: "builtin"
	Outputs []tensor.Tensor
	Labels  []string // names of the classes by their index in an output; none if the model has none
	Cache   Kept
	Timing  Timing
	Run     Run
}

// A Run is the engine's run that an answer came of.
type Run struct {
	Size  int  // inferences of this request and of those that were run with it; 0: there was none
	First bool // of these requests, so that each run is counted once
}

// Timing tells where the time of a request went.
type Timing struct {
	Cache  time.Duration // looking for a result of before
	Queue  time.Duration // waiting for the device
	Decode time.Duration // image to tensor
	Infer  time.Duration // on the device
	Post   time.Duration // tensors to labels and boxes
}

// MaxPriority is the last of the priorities; 0 is the first.
const MaxPriority = 7
