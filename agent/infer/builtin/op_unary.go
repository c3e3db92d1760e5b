package builtin

import (
	"errors"
	"fmt"
	"math"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

var inf = float32(math.Inf(1))

// unary emits an element-wise function of floats that may run in place.
func (c *call) unary(f func(dst, src []float32)) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	return c.elementwise(f)
}

// elementwise is unary for a call whose inputs have been checked.
func (c *call) elementwise(f func(dst, src []float32)) error {
	x := c.in[0]
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	c.node.inplace = 1
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) { f(y.f[from:to], x.f[from:to]) })
	})
	return nil
}

// scalar is the operator of a function of one number.
func scalar(f func(float64) float64) opFunc {
	return func(c *call) error { return c.unary(each(f)) }
}

func each(f func(float64) float64) func(dst, src []float32) {
	return func(dst, src []float32) {
		for i, v := range src {
			dst[i] = float32(f(float64(v)))
		}
	}
}

func reciprocal(x float64) float64 { return 1 / x }
func softplus(x float64) float64   { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
func softsign(x float64) float64   { return x / (1 + math.Abs(x)) }
func mish(x float64) float64       { return x * math.Tanh(softplus(x)) }

func sign(x float64) float64 {
	if x == 0 {
		return 0
	}
	return math.Copysign(1, x)
}

func opElu(c *call) error {
	alpha := float64(c.float("alpha", 1))
	return c.unary(each(func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}))
}

func opSelu(c *call) error {
	alpha, gamma := float64(c.float("alpha", 1.67326319)), float64(c.float("gamma", 1.05070102))
	return c.unary(each(func(x float64) float64 {
		if x < 0 {
			return gamma * alpha * math.Expm1(x)
		}
		return gamma * x
	}))
}

func opCelu(c *call) error {
	alpha := float64(c.float("alpha", 1))
	return c.unary(each(func(x float64) float64 {
		return max(x, 0) + min(0, alpha*math.Expm1(x/alpha))
	}))
}

func opThresholdedRelu(c *call) error {
	alpha := float64(c.float("alpha", 1))
	return c.unary(each(func(x float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}))
}

func opGelu(c *call) error {
	if c.str("approximate", "none") == "tanh" {
		return c.unary(each(func(x float64) float64 {
			return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		}))
	}
	return c.unary(each(func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }))
}

func opExp(c *call) error { return c.unary(c.kernels().Exp) }

// activate emits an activation, inside of the node that gives its input if that can be.
func (c *call) activate(a activation) error {
	if err := c.needFloats(1, 3); err != nil {
		return err
	}
	if c.fuseActivation(a) {
		return nil
	}
	if a.kind == actClamp {
		c.node.line = &kernel.Line{Slope: 1, Lo: a.lo, Hi: a.hi}
	}
	return c.elementwiseActivation(a)
}

// elementwiseActivation emits an activation as a node of its own.
func (c *call) elementwiseActivation(a activation) error {
	set, n := c.kernels(), c.node
	n.fuse.act = a // what follows may change a gate
	return c.elementwise(func(dst, src []float32) { n.fuse.act.apply(set, dst, src) })
}

func opRelu(c *call) error {
	if c.input(0) != nil && !c.in[0].isFloat() {
		return c.unaryInts(func(x int64) int64 { return max(x, 0) })
	}
	return c.activate(activation{kind: actClamp, lo: 0, hi: inf})
}

func opLeakyRelu(c *call) error {
	return c.activate(activation{kind: actLeaky, alpha: c.float("alpha", 0.01), lo: -inf, hi: inf})
}
func opSigmoid(c *call) error { return c.activate(activation{kind: actSigmoid, lo: -inf, hi: inf}) }

func opHardSigmoid(c *call) error {
	set, l := c.kernels(), kernel.Line{Slope: c.float("alpha", 0.2), Offset: c.float("beta", 0.5), Hi: 1}
	c.node.line = &l
	return c.unary(func(dst, src []float32) { set.Affine(dst, src, l.Slope, l.Offset, l.Lo, l.Hi) })
}

func opHardSwish(c *call) error {
	return c.activate(hardSwish)
}

func opClip(c *call) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	lo, hi := c.float("min", -inf), c.float("max", inf)
	for i, bound := range []*float32{&lo, &hi} {
		v := c.input(i + 1)
		if v == nil {
			continue
		}
		if !v.constant || v.len() != 1 {
			return fmt.Errorf("the bound %s is not one constant", v.name)
		}
		if v.isFloat() {
			*bound = v.f[0]
		} else {
			*bound = float32(v.i[0])
		}
	}
	if lo != lo || hi != hi {
		return errors.New("a bound that is not a number")
	}
	if !c.in[0].isFloat() {
		return c.unaryInts(func(x int64) int64 { return int64(min(max(float32(x), lo), hi)) })
	}
	c.in = c.in[:1]
	return c.activate(activation{kind: actClamp, lo: lo, hi: hi})
}

// unaryInts emits an element-wise function of integers.
func (c *call) unaryInts(f func(int64) int64) error {
	if err := c.need(1, 3); err != nil {
		return err
	}
	x := c.in[0]
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	c.node.inplace = 1
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				y.i[i] = cut(y.typ, f(x.i[i]))
			}
		})
	})
	return nil
}

// test emits a function of floats that holds or does not.
func (c *call) test(f func(float32) bool) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	y, err := c.give(0, onnx.Bool, x.shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				y.i[i] = truth(f(x.f[i]))
			}
		})
	})
	return nil
}

func opIsNaN(c *call) error { return c.test(func(v float32) bool { return v != v }) }

func opIsInf(c *call) error {
	above, below := c.int("detect_positive", 1) != 0, c.int("detect_negative", 1) != 0
	return c.test(func(v float32) bool { return above && v == inf || below && v == -inf })
}

func opNot(c *call) error {
	if c.input(0) != nil && c.in[0].typ != onnx.Bool {
		return errors.New("an operand that is not bool")
	}
	return c.unaryInts(func(x int64) int64 { return x ^ 1 })
}

func opNeg(c *call) error {
	if c.input(0) != nil && !c.in[0].isFloat() {
		return c.unaryInts(func(x int64) int64 { return -x })
	}
	set := c.kernels()
	return c.unary(func(dst, src []float32) { set.Affine(dst, src, -1, 0, -inf, inf) })
}

func opAbs(c *call) error {
	if c.input(0) != nil && !c.in[0].isFloat() {
		return c.unaryInts(func(x int64) int64 { return max(x, -x) })
	}
	return c.unary(each(math.Abs))
}

// cut brings an integer into the range of its type, as arithmetic in that type
// would have left it.
func cut(t onnx.Type, v int64) int64 {
	switch t {
	case onnx.Uint8:
		return int64(uint8(v))
	case onnx.Int8:
		return int64(int8(v))
	case onnx.Uint16:
		return int64(uint16(v))
	case onnx.Int16:
		return int64(int16(v))
	case onnx.Uint32:
		return int64(uint32(v))
	case onnx.Int32:
		return int64(int32(v))
	case onnx.Bool:
		return v & 1
	}
	return v
}
