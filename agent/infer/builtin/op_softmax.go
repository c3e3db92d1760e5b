package builtin

import (
	"math"

	"primespark/agent/infer/builtin/kernel"
)

// opSoftmax is Softmax and LogSoftmax. Before opset 13 it went over all
// dimensions from the axis on, since then over the axis alone.
func opSoftmax(c *call) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	otherwise := -1
	if c.opset < 13 {
		otherwise = 1
	}
	ax, err := axis(c.int("axis", otherwise), len(x.shape))
	if err != nil {
		return err
	}
	n, inner := x.shape[ax], product(x.shape[ax+1:])
	if c.opset < 13 {
		n, inner = n*inner, 1
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	c.node.inplace = 1
	set, log := c.kernels(), c.src.Op == "LogSoftmax"
	c.emit(func() []step {
		if inner == 1 {
			per := max(1, 2048/n)
			return chunkedBy(x.len()/n, per, func(from, to int) {
				softRows(set, y.f[from*n:to*n], x.f[from*n:to*n], n, log)
			})
		}
		return chunkedBy(x.len()/n, max(1, 2048/n), func(from, to int) {
			for i := from; i < to; i++ {
				at := i/inner*n*inner + i%inner
				softColumn(y.f[at:], x.f[at:], n, inner, log)
			}
		})
	})
	return nil
}

// softRows works on rows of n that lie one behind the other.
func softRows(set kernel.Set, y, x []float32, n int, log bool) {
	for at := 0; at < len(x); at += n {
		set.Affine(y[at:at+n], x[at:at+n], 1, -top(set, x[at:at+n]), -inf, inf)
	}
	if log {
		for at := 0; at < len(y); at += n {
			sum := 0.0
			for _, v := range y[at : at+n] {
				sum += math.Exp(float64(v))
			}
			set.Affine(y[at:at+n], y[at:at+n], 1, float32(-math.Log(sum)), -inf, inf)
		}
		return
	}
	set.Exp(y, y)
	for at := 0; at < len(y); at += n {
		row := y[at : at+n]
		set.Affine(row, row, 1/set.Sum(row), 0, -inf, inf)
	}
}

// top is the largest element of v.
func top(set kernel.Set, v []float32) float32 {
	var heads [64]float32
	if len(v) < 2*len(heads) {
		return largest(v)
	}
	n := copy(heads[:], v)
	for v = v[n:]; len(v) >= n; v = v[n:] {
		set.Zip(kernel.Max, heads[:], heads[:], v[:n])
	}
	n = len(v)
	set.Zip(kernel.Max, heads[:n], heads[:n], v)
	return largest(heads[:])
}

// softColumn works on n elements that stand step apart.
func softColumn(y, x []float32, n, step int, log bool) {
	top := x[0]
	for i := range n {
		top = max(top, x[i*step])
	}
	sum := 0.0
	for i := range n {
		sum += math.Exp(float64(x[i*step] - top))
	}
	for i := range n {
		v := float64(x[i*step] - top)
		if log {
			v -= math.Log(sum)
		} else {
			v = math.Exp(v) / sum
		}
		y[i*step] = float32(v)
	}
}
