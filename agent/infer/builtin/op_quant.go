package builtin

import (
	"fmt"
	"math"

	"primespark/agent/infer/builtin/onnx"
)

// quantization tells the scale and zero point of each element: one for all, or one for
// each index of a dimension.
type quantization struct {
	scale, zero *value // zero is nil for 0
	n, step     int    // of the indices along that dimension
}

func (q *quantization) at(i int) (scale float32, zero int64) {
	k := i / q.step % q.n
	if q.zero != nil {
		zero = q.zero.i[k]
	}
	return q.scale.f[k], zero
}

func (c *call) quantization() (*quantization, error) {
	x, scale, zero := c.in[0], c.in[1], c.input(2)
	if !scale.isFloat() || zero != nil && (zero.isFloat() || zero.len() != scale.len()) {
		return nil, fmt.Errorf("a scale of %v %v, and a zero point that does not fit", scale.typ, scale.shape)
	}
	q := &quantization{scale: scale, zero: zero, n: 1, step: max(x.len(), 1)}
	if scale.len() > 1 {
		ax, err := axis(c.int("axis", 1), len(x.shape))
		if err != nil {
			return nil, err
		}
		if q.n, q.step = x.shape[ax], product(x.shape[ax+1:]); scale.len() != q.n {
			return nil, fmt.Errorf("%d scales along dimension %d of %v", scale.len(), ax, x.shape)
		}
	}
	return q, nil
}

// opDequantize makes floats of integers. Weights in eight bits become floats when the
// model is loaded, and are computed with as such.
func opDequantize(c *call) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	x := c.in[0]
	if x.isFloat() || x.typ == onnx.Bool {
		return fmt.Errorf("elements of %v", x.typ)
	}
	q, err := c.quantization()
	if err != nil {
		return err
	}
	y, err := c.give(0, q.scale.typ, x.shape...)
	if err != nil {
		return err
	}
	c.node.weights = true
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				scale, zero := q.at(i)
				y.f[i] = float32(x.i[i]-zero) * scale
			}
		})
	})
	return nil
}

// opQuantize makes integers of floats, held within their type.
func opQuantize(c *call) error {
	if err := c.need(2, 3); err != nil {
		return err
	}
	x, typ := c.in[0], onnx.Uint8
	if zero := c.input(2); zero != nil {
		typ = zero.typ
	}
	var lo, hi float64
	switch typ {
	case onnx.Uint8:
		hi = math.MaxUint8
	case onnx.Int8:
		lo, hi = math.MinInt8, math.MaxInt8
	case onnx.Uint16:
		hi = math.MaxUint16
	case onnx.Int16:
		lo, hi = math.MinInt16, math.MaxInt16
	default:
		return fmt.Errorf("a zero point of %v", typ)
	}
	if !x.isFloat() {
		return fmt.Errorf("elements of %v", x.typ)
	}
	q, err := c.quantization()
	if err != nil {
		return err
	}
	y, err := c.give(0, typ, x.shape...)
	if err != nil {
		return err
	}
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				scale, zero := q.at(i)
				v := math.RoundToEven(float64(x.f[i]/scale)) + float64(zero)
				if v != v {
					v = 0
				}
				y.i[i] = int64(min(max(v, lo), hi))
			}
		})
	})
	return nil
}
