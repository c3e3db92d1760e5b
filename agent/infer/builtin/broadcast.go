package builtin

import (
	"fmt"
	"slices"
)

// strides of a row-major tensor, in elements.
func strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// joinShapes is the shape that two shapes broadcast to.
func joinShapes(a, b []int) ([]int, error) {
	n := max(len(a), len(b))
	out := make([]int, n)
	for i := range out {
		da, db := dimFromEnd(a, n-i), dimFromEnd(b, n-i)
		switch {
		case da == db || db == 1:
			out[i] = da
		case da == 1:
			out[i] = db
		default:
			return nil, fmt.Errorf("shapes %v and %v do not broadcast", a, b)
		}
	}
	return out, nil
}

func dimFromEnd(shape []int, i int) int {
	if i > len(shape) {
		return 1
	}
	return shape[len(shape)-i]
}

// A walk goes through tensors of one common shape, each with strides of its own,
// in runs along the last dimension. Dimensions that lie evenly one behind the
// other in all of the tensors have been joined.
type walk struct {
	dims  []int   // the last one is the run
	steps [][]int // for each tensor, the stride of each dimension
}

// newWalk joins dims. A stride of 0 repeats elements.
func newWalk(dims []int, steps ...[]int) walk {
	w := walk{steps: make([][]int, len(steps))}
	for d, n := range dims {
		if n == 1 {
			continue
		}
		last := len(w.dims) - 1
		even := last >= 0
		for t := range steps {
			even = even && w.steps[t][last] == steps[t][d]*n
		}
		if even {
			w.dims[last] *= n
		} else {
			w.dims = append(w.dims, n)
			last++
			for t := range steps {
				w.steps[t] = append(w.steps[t], 0)
			}
		}
		for t := range steps {
			w.steps[t][last] = steps[t][d]
		}
	}
	if len(w.dims) == 0 {
		w.dims = []int{1}
		for t := range steps {
			w.steps[t] = []int{1}
		}
	}
	return w
}

// run is the length of a run, and runs their number.
func (w *walk) run() int  { return w.dims[len(w.dims)-1] }
func (w *walk) runs() int { return product(w.dims[:len(w.dims)-1]) }

// along is the stride of tensor t within a run.
func (w *walk) along(t int) int { return w.steps[t][len(w.dims)-1] }

// start is where run r of tensor t begins.
func (w *walk) start(t, r int) int {
	at := 0
	for d := len(w.dims) - 2; d >= 0; d-- {
		at += r % w.dims[d] * w.steps[t][d]
		r /= w.dims[d]
	}
	return at
}

// spread are the strides of a tensor of some shape under a shape that it broadcasts to.
func spread(shape, to []int) []int {
	out := make([]int, len(to))
	own := strides(shape)
	for i, n := range shape {
		if n > 1 {
			out[len(to)-len(shape)+i] = own[i]
		}
	}
	return out
}

// share cuts a walk's runs into tasks of a worthwhile size: each gets a range of runs,
// or of one run if there is only one.
func (w *walk) share(f func(run, from, to int)) []step {
	const chunk = 8192
	n, runs := w.run(), w.runs()
	if runs == 1 {
		return chunked(n, func(from, to int) { f(0, from, to) })
	}
	per := max(1, chunk/n)
	return []step{{(runs + per - 1) / per, func(task int, _ *worker) {
		for r := task * per; r < min(runs, (task+1)*per); r++ {
			f(r, 0, n)
		}
	}}}
}

func sameShape(a, b *value) bool { return slices.Equal(a.shape, b.shape) }
