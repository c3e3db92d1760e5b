package builtin

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// arithmetic is the operator of one of the four basic operations.
func arithmetic(op kernel.Binary) opFunc {
	return func(c *call) error {
		if err := c.need(2, 2); err != nil {
			return err
		}
		a, b := c.in[0], c.in[1]
		if a.isFloat() && a.typ == b.typ {
			if done, err := c.fuseArithmetic(op, a, b); done {
				return err
			}
		}
		return c.zip(op, a, b)
	}
}

// fuseArithmetic puts an operation on floats into the nodes before it, and reports whether it could.
func (c *call) fuseArithmetic(op kernel.Binary, a, b *value) (bool, error) {
	switch op {
	case kernel.Add:
		if c.fuseAdd(a, b) || c.fuseAdd(b, a) {
			return true, nil
		}
	case kernel.Mul:
		if c.fuseFactor(op, a, b) || c.fuseFactor(op, b, a) {
			return true, nil
		}
		if ok, err := c.fuseSiLU(); ok {
			return true, err
		}
		if ok, err := c.fuseGate(); ok {
			return true, err
		}
	case kernel.Div:
		if c.fuseFactor(op, a, b) {
			return true, nil
		}
	}
	l := straight(op, a, b)
	if l == nil {
		return false, nil
	}
	if c.fuseLine(a, *l) || c.fuseLine(b, *l) {
		return true, nil
	}
	c.node.line = l
	return false, nil
}

// zip emits a binary operation with broadcasting.
func (c *call) zip(op kernel.Binary, a, b *value) error {
	if a.typ != b.typ {
		return fmt.Errorf("operands of types %v and %v", a.typ, b.typ)
	}
	if !a.isFloat() {
		return zipInts(c, a, b, a.typ, integer(op))
	}
	shape, err := joinShapes(a.shape, b.shape)
	if err != nil {
		return err
	}
	y, err := c.give(0, a.typ, shape...)
	if err != nil {
		return err
	}
	if sameShape(a, y) {
		c.node.inplace = 1
	}
	set := c.kernels()
	c.emit(func() []step {
		w := newWalk(shape, strides(shape), spread(a.shape, shape), spread(b.shape, shape))
		along := [2]int{w.along(1), w.along(2)}
		return w.share(func(run, from, to int) {
			oy, oa, ob := w.start(0, run)+from, w.start(1, run), w.start(2, run)
			dst := y.f[oy : oy+to-from]
			switch along {
			case [2]int{1, 0}:
				zipRight(set, op, dst, a.f[oa+from:], b.f[ob])
			case [2]int{0, 1}:
				zipLeft(set, op, dst, a.f[oa], b.f[ob+from:])
			default:
				set.Zip(op, dst, a.f[oa+from:oa+to], b.f[ob+from:ob+to])
			}
		})
	})
	return nil
}

// zipRight sets dst to a op s.
func zipRight(set kernel.Set, op kernel.Binary, dst, a []float32, s float32) {
	switch op {
	case kernel.Add:
		set.Affine(dst, a, 1, s, -inf, inf)
	case kernel.Sub:
		set.Affine(dst, a, 1, -s, -inf, inf)
	case kernel.Mul:
		set.Affine(dst, a, s, 0, -inf, inf)
	case kernel.Max:
		set.Affine(dst, a, 1, 0, s, inf)
	case kernel.Min:
		set.Affine(dst, a, 1, 0, -inf, s)
	case kernel.Div:
		var many [256]float32
		fill(many[:], s)
		for len(dst) > 0 {
			n := min(len(dst), len(many))
			set.Zip(op, dst[:n], a[:n], many[:n])
			dst, a = dst[n:], a[n:]
		}
	}
}

func fill(v []float32, x float32) {
	for i := range v {
		v[i] = x
	}
}

// zipLeft sets dst to s op b.
func zipLeft(set kernel.Set, op kernel.Binary, dst []float32, s float32, b []float32) {
	switch op {
	case kernel.Sub:
		set.Affine(dst, b, -1, s, -inf, inf)
	case kernel.Div:
		var many [256]float32
		fill(many[:], s)
		for len(dst) > 0 {
			n := min(len(dst), len(many))
			set.Zip(op, dst[:n], many[:n], b[:n])
			dst, b = dst[n:], b[n:]
		}
	default: // the others commute
		zipRight(set, op, dst, b, s)
	}
}

// integer is the operation on integers. Division by zero, which ONNX leaves
// undefined, gives zero.
func integer(op kernel.Binary) func(a, b int64) int64 {
	return [...]func(a, b int64) int64{
		kernel.Add: func(a, b int64) int64 { return a + b },
		kernel.Sub: func(a, b int64) int64 { return a - b },
		kernel.Mul: func(a, b int64) int64 { return a * b },
		kernel.Div: func(a, b int64) int64 {
			if b == 0 {
				return 0
			}
			return a / b
		},
		kernel.Max: func(a, b int64) int64 { return max(a, b) },
		kernel.Min: func(a, b int64) int64 { return min(a, b) },
	}[op]
}

// zipInts emits a function of two tensors of integers.
func zipInts(c *call, a, b *value, typ onnx.Type, f func(a, b int64) int64) error {
	return zipAny(c, a, b, typ, func() ([]int64, []int64) { return a.i, b.i }, func(y *value, at int, p, q int64) { y.i[at] = cut(typ, f(p, q)) })
}

// zipFloats emits a function of two tensors of floats, of type typ.
func zipFloats(c *call, a, b *value, typ onnx.Type, set func(y *value, at int, a, b float32)) error {
	return zipAny(c, a, b, typ, func() ([]float32, []float32) { return a.f, b.f }, set)
}

func zipAny[E any](c *call, a, b *value, typ onnx.Type, data func() (a, b []E), set func(y *value, at int, a, b E)) error {
	if a.isFloat() != b.isFloat() {
		return fmt.Errorf("operands of types %v and %v", a.typ, b.typ)
	}
	shape, err := joinShapes(a.shape, b.shape)
	if err != nil {
		return err
	}
	y, err := c.give(0, typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		w := newWalk(shape, strides(shape), spread(a.shape, shape), spread(b.shape, shape))
		p, q := data()
		return w.share(func(run, from, to int) {
			oy, oa, ob := w.start(0, run), w.start(1, run), w.start(2, run)
			for i := from; i < to; i++ {
				set(y, oy+i, p[oa+i*w.along(1)], q[ob+i*w.along(2)])
			}
		})
	})
	return nil
}

// floatFunc is zipFloats for a function of doubles.
func floatFunc(f func(a, b float64) float64) func(y *value, at int, a, b float32) {
	return func(y *value, at int, a, b float32) { y.f[at] = float32(f(float64(a), float64(b))) }
}

// extreme is the operator of Max, Min, Sum and Mean, which take any number of inputs.
func extreme(op kernel.Binary) opFunc {
	return func(c *call) error {
		if err := c.need(1, maxList); err != nil {
			return err
		}
		if len(c.in) == 1 {
			return c.view(0, c.in[0], 0, c.in[0].shape...)
		}
		if err := c.zip(op, c.in[0], c.in[1]); err != nil {
			return err
		}
		scale := float32(1)
		if c.src.Op == "Mean" {
			scale = 1 / float32(len(c.in))
		}
		if len(c.in) == 2 && scale == 1 {
			return nil
		}
		return c.zipMore(op, scale)
	}
}

// zipMore goes on from the first two inputs, which zip has taken, to the others,
// and then multiplies by scale.
func (c *call) zipMore(op kernel.Binary, scale float32) error {
	y, first := c.out[0], c.node.bind
	for i, v := range c.in[2:] {
		if v == nil || v.typ != y.typ || !v.isFloat() || !slices.Equal(v.shape, y.shape) {
			return fmt.Errorf("input %d differs in type or shape, or is not of floats", i+2)
		}
	}
	set := c.kernels()
	more := c.in[2:]
	c.node.inplace = 0
	c.emit(func() []step {
		return append(first(), chunked(y.len(), func(from, to int) {
			dst := y.f[from:to]
			for _, v := range more {
				set.Zip(op, dst, dst, v.f[from:to])
			}
			set.Affine(dst, dst, scale, 0, -inf, inf)
		})...)
	})
	return nil
}

func opPow(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	a, b := c.in[0], c.in[1]
	if !a.isFloat() || !b.isFloat() {
		return c.powInts(a, b)
	}
	if b.constant && b.len() == 1 && len(b.shape) <= len(a.shape) && b.f[0] == 2 {
		return c.zip(kernel.Mul, a, a)
	}
	return zipFloats(c, a, b, a.typ, floatFunc(math.Pow))
}

// powInts is a power of which one or both are integers. The result is of a's type.
func (c *call) powInts(a, b *value) error {
	shape, err := joinShapes(a.shape, b.shape)
	if err != nil {
		return err
	}
	y, err := c.give(0, a.typ, shape...)
	if err != nil {
		return err
	}
	number := func(v *value, i int) float64 {
		if v.isFloat() {
			return float64(v.f[i])
		}
		return float64(v.i[i])
	}
	c.emit(func() []step {
		w := newWalk(shape, strides(shape), spread(a.shape, shape), spread(b.shape, shape))
		return w.share(func(run, from, to int) {
			oy, oa, ob := w.start(0, run), w.start(1, run), w.start(2, run)
			for i := from; i < to; i++ {
				v := math.Pow(number(a, oa+i*w.along(1)), number(b, ob+i*w.along(2)))
				switch {
				case y.isFloat():
					y.f[oy+i] = float32(v)
				case v != v:
					y.i[oy+i] = 0
				default:
					y.i[oy+i] = cut(y.typ, int64(min(max(v, -1<<62), 1<<62)))
				}
			}
		})
	})
	return nil
}

func opMod(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	a, b := c.in[0], c.in[1]
	switch {
	case a.isFloat() && c.int("fmod", 0) == 1:
		return zipFloats(c, a, b, a.typ, floatFunc(math.Mod))
	case a.isFloat():
		return errors.New("floats need fmod=1")
	}
	fmod := c.int("fmod", 0) == 1
	return zipInts(c, a, b, a.typ, func(p, q int64) int64 {
		if q == 0 {
			return 0
		}
		r := p % q
		if !fmod && r != 0 && (r < 0) != (q < 0) {
			r += q // the sign of the divisor, as in Python
		}
		return r
	})
}

func opPRelu(c *call) error {
	if err := c.needFloats(2, 2); err != nil {
		return err
	}
	if shape, err := joinShapes(c.in[0].shape, c.in[1].shape); err != nil || !slices.Equal(shape, c.in[0].shape) {
		return fmt.Errorf("slopes of shape %v for %v", c.in[1].shape, c.in[0].shape)
	}
	return zipFloats(c, c.in[0], c.in[1], c.in[0].typ, func(y *value, at int, a, slope float32) {
		y.f[at] = max(a, 0) + slope*min(a, 0)
	})
}

// order tells which outcomes of a comparison make it true.
type order struct{ less, equal, greater bool }

var (
	eq        = order{equal: true}
	less      = order{less: true}
	lessEq    = order{less: true, equal: true}
	greater   = order{greater: true}
	greaterEq = order{greater: true, equal: true}
)

func holds[E int64 | float32](o order, a, b E) int64 {
	if o.less && a < b || o.equal && a == b || o.greater && a > b {
		return 1
	}
	return 0
}

func compare(o order) opFunc {
	return func(c *call) error {
		if err := c.need(2, 2); err != nil {
			return err
		}
		if c.in[0].isFloat() {
			return zipFloats(c, c.in[0], c.in[1], onnx.Bool, func(y *value, at int, a, b float32) { y.i[at] = holds(o, a, b) })
		}
		return zipInts(c, c.in[0], c.in[1], onnx.Bool, func(a, b int64) int64 { return holds(o, a, b) })
	}
}

func and(a, b int64) int64 { return a & b }
func or(a, b int64) int64  { return a | b }
func xor(a, b int64) int64 { return a ^ b }

func logic(f func(a, b int64) int64) opFunc {
	return func(c *call) error {
		if err := c.need(2, 2); err != nil {
			return err
		}
		if c.in[0].typ != onnx.Bool || c.in[1].typ != onnx.Bool {
			return errors.New("operands that are not bool")
		}
		return zipInts(c, c.in[0], c.in[1], onnx.Bool, f)
	}
}

func opWhere(c *call) error {
	if err := c.need(3, 3); err != nil {
		return err
	}
	cond, a, b := c.in[0], c.in[1], c.in[2]
	if cond.typ != onnx.Bool || a.typ != b.typ {
		return fmt.Errorf("operands of types %v, %v and %v", cond.typ, a.typ, b.typ)
	}
	shape, err := joinShapes(a.shape, b.shape)
	if err == nil {
		shape, err = joinShapes(cond.shape, shape)
	}
	if err != nil {
		return err
	}
	y, err := c.give(0, a.typ, shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		w := newWalk(shape, strides(shape), spread(cond.shape, shape), spread(a.shape, shape), spread(b.shape, shape))
		if a.isFloat() {
			return choose(&w, y.f, cond.i, a.f, b.f)
		}
		return choose(&w, y.i, cond.i, a.i, b.i)
	})
	return nil
}

func choose[E any](w *walk, y []E, cond []int64, a, b []E) []step {
	return w.share(func(run, from, to int) {
		oy, oc, oa, ob := w.start(0, run), w.start(1, run), w.start(2, run), w.start(3, run)
		for i := from; i < to; i++ {
			if cond[oc+i*w.along(1)] != 0 {
				y[oy+i] = a[oa+i*w.along(2)]
			} else {
				y[oy+i] = b[ob+i*w.along(3)]
			}
		}
	})
}
