package builtin

import "primespark/agent/infer/builtin/kernel"

// moveEven copies runs whose elements stand two apart in x.
func (c *call) moveEven(w *walk, y, x []float32, offset int) []step {
	set, n := c.kernels(), w.run()
	return []step{{w.runs(), func(run int, k *worker) {
		dst, src := y[w.start(0, run):], x[offset+w.start(1, run):]
		// The last element has no partner that is sure to be there.
		for done := 0; done < n-1; {
			pairs := min(n-1-done, minScratch)
			set.Split(&kernel.Rows{Count: 1, N: pairs, Src: src[2*done:], Dst: dst[done:], Odd: k.scratch[:pairs]})
			done += pairs
		}
		dst[n-1] = src[2*(n-1)]
	}}}
}

// minScratch is the number of floats that every worker has for passing use.
const minScratch = 1024

// moveTiles copies a walk whose runs do not lie even in x: in square tiles of the
// last dimension and the one that lies evenest in x, so that both sides stay in the cache.
func moveTiles(w *walk, y, x []float32, offset int) []step {
	last := len(w.dims) - 1
	other := 0
	for d := range last {
		if w.steps[1][d] != 0 && (w.steps[1][other] == 0 || abs(w.steps[1][d]) < abs(w.steps[1][other])) {
			other = d
		}
	}
	// Put the other dimension beside the last one, and go through the rest.
	dims := make([]int, 0, last)
	steps := make([][]int, 2)
	for d := range last {
		if d != other {
			dims = append(dims, w.dims[d])
			steps[0], steps[1] = append(steps[0], w.steps[0][d]), append(steps[1], w.steps[1][d])
		}
	}
	rest := walk{append(dims, 1), [][]int{append(steps[0], 1), append(steps[1], 1)}}
	const side = 32
	n, m := w.dims[last], w.dims[other]
	ny, nx, my, mx := w.steps[0][last], w.steps[1][last], w.steps[0][other], w.steps[1][other]
	bands := (m + side - 1) / side
	return []step{{rest.runs() * bands, func(task int, _ *worker) {
		run, m0 := task/bands, task%bands*side
		oy, ox := rest.start(0, run), offset+rest.start(1, run)
		m1 := min(m, m0+side)
		for n0 := 0; n0 < n; n0 += side {
			n1 := min(n, n0+side)
			for j := m0; j < m1; j++ {
				for i, p, q := n0, oy+j*my+n0*ny, ox+j*mx+n0*nx; i < n1; i, p, q = i+1, p+ny, q+nx {
					y[p] = x[q]
				}
			}
		}
	}}}
}

func abs(n int) int { return max(n, -n) }
