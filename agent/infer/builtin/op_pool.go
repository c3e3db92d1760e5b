package builtin

import "fmt"

func (c *call) pool() (*value, *window, *value, error) {
	if err := c.needFloats(1, 1); err != nil {
		return nil, nil, nil, err
	}
	shape, ok, err := c.ints(1, "kernel_shape")
	if err != nil || !ok {
		return nil, nil, nil, fmt.Errorf("no kernel_shape (%v)", err)
	}
	x := c.in[0]
	g, err := c.window2d(x, shape, c.int("ceil_mode", 0) != 0)
	if err != nil {
		return nil, nil, nil, err
	}
	// Otherwise a place of the window may lie in the padding alone.
	if g.top >= reach(g.kh, g.dh) || g.bottom >= reach(g.kh, g.dh) || g.left >= reach(g.kw, g.dw) || g.end >= reach(g.kw, g.dw) {
		return nil, nil, nil, fmt.Errorf("padding as wide as the window of %v", shape)
	}
	c.node.heavy = true
	y, err := c.give(0, x.typ, g.result(g.channels)...)
	return x, g, y, err
}

// reach is the number of elements from the first to the last of a dilated window.
func reach(k, dilation int) int { return (k-1)*dilation + 1 }

func opAveragePool(c *call) error {
	x, g, y, err := c.pool()
	if err != nil {
		return err
	}
	withPads := c.int("count_include_pad", 0) != 0
	window := min(g.kh, g.h) * min(g.kw, g.w) // elements of the image in one place of the window
	c.node.work = int64(y.len()) * int64(window)
	c.emit(func() []step {
		size, chunk := g.oh*g.ow, max(1, 1<<16/window)
		return []step{{(y.len() + chunk - 1) / chunk, func(task int, w *worker) {
			for i := task * chunk; i < min(y.len(), (task+1)*chunk) && !w.stopped(); i++ {
				src := x.f[i/size*g.h*g.w : (i/size+1)*g.h*g.w]
				y.f[i] = g.average(src, i%size/g.ow*g.sh-g.top, i%g.ow*g.sw-g.left, withPads)
			}
		}}}
	})
	return nil
}

// average is the mean of the window whose corner is at y0, x0. What lies in the
// padding counts as zeros withPads, and not at all without.
func (g *window) average(src []float32, y0, x0 int, withPads bool) float32 {
	top, bottom, rows := covered(y0, g.kh, g.dh, g.h, g.bottom)
	left, right, cols := covered(x0, g.kw, g.dw, g.w, g.end)
	var sum float32
	for ky := top; ky < bottom; ky++ {
		row := src[(y0+ky*g.dh)*g.w:]
		for kx := left; kx < right; kx++ {
			sum += row[x0+kx*g.dw]
		}
	}
	count := (bottom - top) * (right - left)
	if withPads {
		count = rows * cols
	}
	return sum / float32(max(count, 1))
}

// covered tells which of a window's k elements, step apart from at on, lie within an image
// of n, and how many do not lie beyond the padding behind it.
func covered(at, k, step, n, padding int) (from, to, padded int) {
	before := func(end int) int { return min(k, max(0, (end-at+step-1)/step)) }
	from = min(k, max(0, (step-1-at)/step))
	return from, max(from, before(n)), before(n + padding)
}

// opGlobal is the average or the maximum of each channel.
func opGlobal(c *call) error {
	if err := c.needFloats(1, 1); err != nil {
		return err
	}
	x := c.in[0]
	if len(x.shape) < 3 {
		return fmt.Errorf("an image of shape %v", x.shape)
	}
	shape := []int{x.shape[0], x.shape[1]}
	for range x.shape[2:] {
		shape = append(shape, 1)
	}
	y, err := c.give(0, x.typ, shape...)
	if err != nil {
		return err
	}
	size, set, average := product(x.shape[2:]), c.kernels(), c.src.Op == "GlobalAveragePool"
	c.emit(func() []step {
		return chunkedBy(y.len(), max(1, 8192/size), func(from, to int) {
			for i := from; i < to; i++ {
				src := x.f[i*size : (i+1)*size]
				if average {
					y.f[i] = set.Sum(src) / float32(size)
				} else {
					y.f[i] = largest(src)
				}
			}
		})
	})
	return nil
}

func largest(v []float32) float32 {
	m := v[0]
	for _, x := range v[1:] {
		m = max(m, x)
	}
	return m
}
