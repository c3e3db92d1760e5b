package builtin

import (
	"fmt"
	"slices"

	"primespark/agent/infer/builtin/onnx"
)

// strands is a tensor seen as lines along one dimension: line i begins at start(i), and its
// n elements stand step apart.
type strands struct{ n, step, count int }

func strandsOf(shape []int, ax int) strands {
	step := product(shape[ax+1:])
	return strands{shape[ax], step, product(shape[:ax]) * step}
}

func (l strands) start(i int) int { return i/l.step*l.n*l.step + i%l.step }

// opTopK gives the k largest or smallest elements of each line, in order, and where they
// were. Of equal ones the first comes first.
func opTopK(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x := c.in[0]
	ax, err := axis(c.int("axis", -1), len(x.shape))
	if err != nil {
		return err
	}
	k, ok, err := c.ints(1, "")
	if err != nil || !ok || len(k) != 1 {
		return fmt.Errorf("the number of elements is not one constant integer (%v)", err)
	}
	if !x.isFloat() || k[0] < 1 || k[0] > x.shape[ax] {
		return fmt.Errorf("the first %d of %v %v along dimension %d", k[0], x.typ, x.shape, ax)
	}
	shape := slices.Clone(x.shape)
	shape[ax] = k[0]
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	at, err := c.give(1, onnx.Int64, shape...)
	if err != nil {
		return err
	}
	from, to, least := strandsOf(x.shape, ax), strandsOf(shape, ax), c.int("largest", 1) == 0
	c.node.heavy = true
	c.node.work = int64(x.len()) * int64(k[0])
	c.emit(func() []step {
		return []step{{from.count, func(line int, w *worker) {
			src, dst := from.start(line), to.start(line)
			have := 0
			for i := range from.n {
				if w.stopped() {
					return
				}
				v := x.f[src+i*from.step]
				j := have // v goes before the last ones that it beats
				for ; j > 0; j-- {
					before := y.f[dst+(j-1)*to.step]
					if least && !(v < before) || !least && !(v > before) {
						break
					}
					if j < to.n {
						y.f[dst+j*to.step], at.i[dst+j*to.step] = before, at.i[dst+(j-1)*to.step]
					}
				}
				if j < to.n {
					y.f[dst+j*to.step], at.i[dst+j*to.step] = v, int64(i)
				}
				have = min(have+1, to.n)
			}
		}}}
	})
	return nil
}

// opGatherElements takes, for each place of the indices, the element of the same place
// but for one dimension, which the index tells.
func opGatherElements(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x, index := c.in[0], c.in[1]
	ax, err := axis(c.int("axis", 0), len(x.shape))
	if err != nil {
		return err
	}
	if index.isFloat() || len(index.shape) != len(x.shape) {
		return fmt.Errorf("indices of type %v and shape %v into %v", index.typ, index.shape, x.shape)
	}
	for d, n := range index.shape {
		if d != ax && n > x.shape[d] {
			return fmt.Errorf("indices of shape %v into %v", index.shape, x.shape)
		}
	}
	y, err := c.give(0, x.typ, index.shape...)
	if err != nil {
		return err
	}
	own, n := strides(x.shape), int64(x.shape[ax])
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				k := index.i[i]
				if k < 0 {
					k += n
				}
				at := int(min(max(k, 0), n-1)) * own[ax] // an index out of range takes the nearest
				rest := i
				for d := len(own) - 1; d >= 0; d-- {
					if d != ax {
						at += rest % index.shape[d] * own[d]
					}
					rest /= index.shape[d]
				}
				if x.isFloat() {
					y.f[i] = x.f[at]
				} else {
					y.i[i] = x.i[at]
				}
			}
		})
	})
	return nil
}

// opCumSum adds up along a dimension.
func opCumSum(c *call) error {
	if err := c.need(2, 2); err != nil {
		return err
	}
	x := c.in[0]
	list, ok, err := c.ints(1, "")
	if err != nil || !ok || len(list) != 1 {
		return fmt.Errorf("the axis is not one constant integer (%v)", err)
	}
	ax, err := axis(list[0], len(x.shape))
	if err != nil {
		return err
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	l, exclusive, reverse := strandsOf(x.shape, ax), c.int("exclusive", 0) != 0, c.int("reverse", 0) != 0
	c.emit(func() []step {
		return []step{{l.count, func(line int, _ *worker) {
			at, step := l.start(line), l.step
			if reverse {
				at, step = at+(l.n-1)*l.step, -l.step
			}
			if x.isFloat() {
				sumUp(y.f, x.f, at, step, l.n, exclusive, func(v float64) float32 { return float32(v) })
			} else {
				sumUp(y.i, x.i, at, step, l.n, exclusive, func(v int64) int64 { return cut(y.typ, v) })
			}
		}}}
	})
	return nil
}

func sumUp[E float32 | int64, A float64 | int64](y, x []E, at, step, n int, exclusive bool, as func(A) E) {
	var sum A
	for range n {
		v := A(x[at])
		if exclusive {
			y[at] = as(sum)
			sum += v
		} else {
			sum += v
			y[at] = as(sum)
		}
		at += step
	}
}

// opTrilu keeps the upper or the lower triangle of each matrix.
func opTrilu(c *call) error {
	if err := c.need(1, 2); err != nil {
		return err
	}
	x := c.in[0]
	rank := len(x.shape)
	if rank < 2 {
		return fmt.Errorf("a tensor of shape %v is no matrix", x.shape)
	}
	k, _, err := c.ints(1, "")
	if err != nil || len(k) > 1 {
		return fmt.Errorf("the diagonal is not one constant integer (%v)", err)
	}
	diagonal, upper := 0, c.int("upper", 1) != 0
	if len(k) == 1 {
		diagonal = k[0]
	}
	y, err := c.give(0, x.typ, x.shape...)
	if err != nil {
		return err
	}
	rows, cols := x.shape[rank-2], x.shape[rank-1]
	c.emit(func() []step {
		return chunkedBy(x.len()/cols, max(1, 8192/cols), func(from, to int) {
			for r := from; r < to; r++ {
				for col := range cols {
					at, keep := r*cols+col, col-r%rows >= diagonal
					if !upper {
						keep = col-r%rows <= diagonal
					}
					switch {
					case x.isFloat() && keep:
						y.f[at] = x.f[at]
					case x.isFloat():
						y.f[at] = 0
					case keep:
						y.i[at] = x.i[at]
					default:
						y.i[at] = 0
					}
				}
			}
		})
	})
	return nil
}
