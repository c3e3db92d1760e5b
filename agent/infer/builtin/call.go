package builtin

import (
	"errors"
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// An opFunc checks one node of the model, works out the types and shapes of its
// outputs, and says with emit how they are computed. It runs once, at load time;
// all that depends on the model is checked here, so that bind and the steps
// cannot fail.
type opFunc func(c *call) error

// A call is one node on its way through its opFunc.
type call struct {
	*compiler
	src  *onnx.Node
	in   []*value // nil for an optional input that was left out
	out  []*value // filled by the opFunc; nil where the node names no output
	node *node
}

// kernels is the set that the session works with, and threads how many workers.
func (c *call) kernels() kernel.Set { return c.options.kernels }

// input returns input i, or nil when it was left out.
func (c *call) input(i int) *value {
	if i < len(c.in) {
		return c.in[i]
	}
	return nil
}

// need checks that the node has from least to most inputs, and that the first
// ones are there.
func (c *call) need(least, most int) error {
	if len(c.in) < least || len(c.in) > most {
		return fmt.Errorf("%d inputs, want %d to %d", len(c.in), least, most)
	}
	for i := range least {
		if c.in[i] == nil {
			return fmt.Errorf("input %d is left out", i)
		}
	}
	return nil
}

// needFloats is need for inputs that must all be of a floating-point type.
func (c *call) needFloats(least, most int) error {
	if err := c.need(least, most); err != nil {
		return err
	}
	for i, v := range c.in {
		if v != nil && !v.isFloat() {
			return fmt.Errorf("input %d is of type %v; only floats are supported", i, v.typ)
		}
	}
	return nil
}

// ints returns the constant input i, or else the attribute: many operators
// turned one into the other with a later opset. given tells whether there is any.
func (c *call) ints(i int, attr string) (v []int, given bool, err error) {
	var list []int64
	if in := c.input(i); in != nil {
		if !in.constant || in.isFloat() {
			return nil, false, fmt.Errorf("input %d (%s) is not a constant of integers", i, in.name)
		}
		if len(in.i) > maxList {
			return nil, false, fmt.Errorf("input %d has %d elements", i, len(in.i))
		}
		list = in.i
	} else if a := c.src.Attr(attr); a != nil && attr != "" {
		list = a.Ints
	} else {
		return nil, false, nil
	}
	v = make([]int, len(list))
	for i, x := range list {
		v[i] = int(min(max(x, -maxNumber), maxNumber))
	}
	return v, true, nil
}

// Bounds of the numbers in attributes and shape inputs. Larger ones are cut to
// these, which are still beyond every dimension: sums of several do not overflow.
const (
	maxNumber = 1 << 40
	maxList   = 1 << 16
)

func (c *call) int(attr string, otherwise int) int {
	if a := c.src.Attr(attr); a != nil {
		return int(min(max(a.Int, -maxNumber), maxNumber))
	}
	return otherwise
}

func (c *call) float(attr string, otherwise float32) float32 {
	if a := c.src.Attr(attr); a != nil {
		return a.Float
	}
	return otherwise
}

func (c *call) str(attr, otherwise string) string {
	if a := c.src.Attr(attr); a != nil {
		return a.Str
	}
	return otherwise
}

// axis brings an axis, which may count from the end, into 0 to rank-1.
func axis(a, rank int) (int, error) {
	if a < -rank || a >= rank {
		return 0, fmt.Errorf("axis %d of a tensor of %d dimensions", a, rank)
	}
	return (a + rank) % rank, nil
}

// axes is axis for a list without repetitions.
func axes(list []int, rank int) ([]int, error) {
	out := make([]int, len(list))
	for i, a := range list {
		n, err := axis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out[:i], n) {
			return nil, fmt.Errorf("axis %d is given twice", n)
		}
		out[i] = n
	}
	return out, nil
}

// give sets the type and shape of output i.
func (c *call) give(i int, typ onnx.Type, shape ...int) (*value, error) {
	if len(shape) > onnx.MaxRank {
		return nil, fmt.Errorf("an output of %d dimensions", len(shape))
	}
	if err := checked(shape); err != nil {
		return nil, err
	}
	for len(c.out) <= i {
		c.out = append(c.out, nil)
	}
	c.out[i] = &value{typ: typ, shape: slices.Clone(shape), producer: c.node}
	return c.out[i], nil
}

// emit says how the outputs are computed. bind runs when all memory is in place.
func (c *call) emit(bind func() []step) { c.node.bind = bind }

// view gives output i the elements of a value, from offset on, under a new shape.
func (c *call) view(i int, of *value, offset int, shape ...int) error {
	v, err := c.give(i, of.typ, shape...)
	if err != nil {
		return err
	}
	if offset+v.len() > of.len() {
		return errors.New("a view beyond its tensor")
	}
	if of.constant {
		v.constant = true
		if n := v.len(); of.isFloat() {
			v.f = of.f[offset : offset+n : offset+n]
		} else {
			v.i = of.i[offset : offset+n : offset+n]
		}
		return nil
	}
	root, at := of.root() // so that a chain of views stays one step long
	v.home, v.offset = root, at+offset
	return nil
}

// single is the steps of work that is not worth sharing out.
func single(f func()) []step {
	return []step{{1, func(int, *worker) { f() }}}
}

// chunked shares out n elements, in chunks that are worth a worker's while.
func chunked(n int, f func(from, to int)) []step {
	const chunk = 8192
	return []step{{(n + chunk - 1) / chunk, func(task int, _ *worker) {
		f(task*chunk, min(n, (task+1)*chunk))
	}}}
}
