package builtin

import (
	"errors"
	"math"
	"slices"

	"primespark/agent/infer/builtin/onnx"
)

// A reduction makes one number of many: it adds each to start, and turns what it
// has after n of them into the result.
type reduction struct {
	start float64
	add   func(acc, x float64) float64
	end   func(acc float64, n int) float64
}

func asIs(acc float64, _ int) float64 { return acc }
func plus(acc, x float64) float64     { return acc + x }

var (
	sumOf       = reduction{0, plus, asIs}
	meanOf      = reduction{0, plus, func(acc float64, n int) float64 { return acc / float64(n) }}
	maxOf       = reduction{math.Inf(-1), math.Max, asIs}
	minOf       = reduction{math.Inf(1), math.Min, asIs}
	prodOf      = reduction{1, func(acc, x float64) float64 { return acc * x }, asIs}
	l1Of        = reduction{0, func(acc, x float64) float64 { return acc + math.Abs(x) }, asIs}
	squaresOf   = reduction{0, func(acc, x float64) float64 { return acc + x*x }, asIs}
	l2Of        = reduction{0, func(acc, x float64) float64 { return acc + x*x }, func(acc float64, _ int) float64 { return math.Sqrt(acc) }}
	logSumExpOf = reduction{0, func(acc, x float64) float64 { return acc + math.Exp(x) }, func(acc float64, _ int) float64 { return math.Log(acc) }}
	logSumOf    = reduction{0, plus, func(acc float64, _ int) float64 { return math.Log(acc) }}
)

// folding is a tensor seen as kept dimensions, and reduced ones within.
type folding struct {
	kept, reduced walk
	shape         []int // of the result
}

// foldOver works out the result's shape and the walks, for the axes given by an
// input or an attribute.
func (c *call) foldOver(list []int, given bool) (*folding, error) {
	x := c.in[0]
	list, err := axes(list, len(x.shape))
	if err != nil {
		return nil, err
	}
	all := !given || len(list) == 0
	keep := c.int("keepdims", 1) != 0
	f := &folding{}
	var kept, reduced, keptSteps, reducedSteps []int
	for i, s := range strides(x.shape) {
		n := x.shape[i]
		if all || slices.Contains(list, i) {
			reduced, reducedSteps = append(reduced, n), append(reducedSteps, s)
			if keep {
				f.shape = append(f.shape, 1)
			}
		} else {
			kept, keptSteps = append(kept, n), append(keptSteps, s)
			f.shape = append(f.shape, n)
		}
	}
	f.kept, f.reduced = newWalk(kept, keptSteps), newWalk(reduced, reducedSteps)
	return f, nil
}

// reduce is the operator of a reduction.
func reduce(r reduction) opFunc {
	return func(c *call) error {
		if err := c.need(1, 2); err != nil {
			return err
		}
		x := c.in[0]
		list, given, err := c.ints(1, "axes")
		if err != nil {
			return err
		}
		if len(list) == 0 && c.int("noop_with_empty_axes", 0) != 0 {
			return c.view(0, x, 0, x.shape...)
		}
		f, err := c.foldOver(list, given)
		if err != nil {
			return err
		}
		y, err := c.give(0, x.typ, f.shape...)
		if err != nil {
			return err
		}
		c.emit(func() []step {
			if x.isFloat() {
				return reduceAll(f, r, y.f, x.f)
			}
			return reduceAll(f, r, y.i, x.i)
		})
		return nil
	}
}

func reduceAll[E float32 | int64](f *folding, r reduction, y, x []E) []step {
	n, count := product(f.reduced.dims), f.kept.run()
	return chunkedBy(len(y), max(1, 8192/n), func(from, to int) {
		for i := from; i < to; i++ {
			at := f.kept.start(0, i/count) + i%count*f.kept.along(0)
			acc := r.start
			for run := range f.reduced.runs() {
				p := at + f.reduced.start(0, run)
				for range f.reduced.run() {
					acc = r.add(acc, float64(x[p]))
					p += f.reduced.along(0)
				}
			}
			y[i] = E(r.end(acc, n))
		}
	})
}

// chunkedBy is chunked for work that costs more than an element's.
func chunkedBy(n, chunk int, f func(from, to int)) []step {
	return []step{{(n + chunk - 1) / chunk, func(task int, _ *worker) {
		f(task*chunk, min(n, (task+1)*chunk))
	}}}
}

// opArg is ArgMax and ArgMin.
func opArg(c *call) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	f, err := c.foldOver([]int{c.int("axis", 0)}, true)
	if err != nil {
		return err
	}
	y, err := c.give(0, onnx.Int64, f.shape...)
	if err != nil {
		return err
	}
	if len(f.reduced.dims) != 1 {
		return errors.New("more than one axis")
	}
	least, last := c.src.Op == "ArgMin", c.int("select_last_index", 0) != 0
	count := f.kept.run()
	c.emit(func() []step {
		return chunked(y.len(), func(from, to int) {
			for i := from; i < to; i++ {
				at := f.kept.start(0, i/count) + i%count*f.kept.along(0)
				best, which := x.f[at], 0
				for j := 1; j < f.reduced.run(); j++ {
					v := x.f[at+j*f.reduced.along(0)]
					if v == best && last || !least && v > best || least && v < best {
						best, which = v, j
					}
				}
				y.i[i] = int64(which)
			}
		})
	})
	return nil
}
