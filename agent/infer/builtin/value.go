package builtin

import (
	"context"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// slack is the number of floats that stand readable behind every buffer: kernels
// read whole vectors, and a panel's width beyond the last one (kernel.Pack).
const slack = 128

// A value is a tensor of the graph: a constant, an input, or what a node gives.
// Its elements are floats or int64s in memory, whatever the model's type: half
// precision is widened, and small integers and booleans are kept in an int64.
type value struct {
	name     string
	typ      onnx.Type
	shape    []int
	outside  []int // what those outside of the session are told instead of shape; nil for that
	constant bool
	output   bool // of the graph
	producer *node
	uses     int // by nodes, and as an output of the graph

	// The elements, of which one of the two is there: at once for a constant, and
	// after the memory plan for the others.
	f []float32
	i []int64

	// A value with a home lives inside of another one, from element offset on.
	home   *value
	offset int
	nested int // values that live inside of this one, inside of one another

	first, last int // steps at which its memory is written first and read last
	place       int // element of the arena where it begins
}

func (v *value) len() int      { return product(v.shape) }
func (v *value) isFloat() bool { return v.typ.IsFloat() }

// product multiplies dimensions that were checked to be few enough.
func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// root is the value whose memory v lives in, and where it begins there.
func (v *value) root() (*value, int) {
	at := 0
	for v.home != nil {
		at += v.offset
		v = v.home
	}
	return v, at
}

// padded is the value's floats and the slack behind them.
func (v *value) padded() []float32 {
	n := len(v.f)
	if cap(v.f)-n < slack {
		f := make([]float32, n+slack) // a constant that stands in for an image
		copy(f, v.f)
		return f
	}
	return v.f[:n+slack]
}

// A node is an operation of the compiled graph.
type node struct {
	op      string
	label   string
	in, out []*value
	parts   []*value // the inputs of a gathering node, constants too
	temp    *value   // memory of the node's own, while it runs
	scratch int      // floats that each worker needs
	inplace int      // 1 + the input that the first output may overwrite, 0 for none
	gather  bool     // the inputs may live inside of the first output, one behind the other
	keeps   int64    // bytes of packed weights and tables that bind makes
	heavy   bool     // costs more than its elements tell: never worked out while compiling
	weights bool     // turns weights of the file into others: worked out while compiling, however many
	macs    int64    // multiplications with addition
	work    int64    // operations, where they are more than macs and elements read and written
	fuse    fusable
	line    *kernel.Line // what becomes of each element of the one input that is no constant, if it is that
	bind    func() []step
	call    *call
	guard   *guard // of the branch that it belongs to; nil for none
	refuse  error  // what Infer fails with instead of running it
	index   int    // in the order of running
	dropped bool   // was fused into another node
}

// A step is a part of a node's work, of tasks that may run at the same time.
type step struct {
	tasks int
	run   func(task int, w *worker)
}

// A worker is what one goroutine of the pool works with.
type worker struct {
	scratch []float32
	packing packing
	rnn     rnnState
	ctx     context.Context // of the task; nil for one that is never cut short
}

// stopped reports whether nobody waits for the task any more. Tasks that may take
// longer than some milliseconds look at it and return.
func (w *worker) stopped() bool { return w.ctx != nil && w.ctx.Err() != nil }

// alloc makes the memory of a constant that is worked out while compiling.
func (v *value) alloc() {
	if v.isFloat() {
		v.f = make([]float32, v.len(), v.len()+slack)
	} else {
		v.i = make([]int64, v.len())
	}
}
