package builtin

import (
	"fmt"
	"math/bits"

	"primespark/agent/infer/builtin/kernel"
)

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

func opMaxPool(c *call) error {
	x, g, y, err := c.pool()
	if err != nil {
		return err
	}
	// A plane with all that the windows reach.
	h, w := g.padded()
	h, w = max(h, (g.oh-1)*g.sh+reach(g.kh, g.dh)), max(w, (g.ow-1)*g.sw+reach(g.kw, g.dw))
	if err := checked([]int{h, w}); err != nil {
		return err
	}
	c.node.scratch = h*w + 2*g.ow + slack
	passes := 2 + bits.Len(uint(g.kh)) + bits.Len(uint(g.kw))
	c.node.work = int64(g.batch*g.channels) * int64(h*w) * int64(passes)
	set := c.kernels()
	c.emit(func() []step {
		return []step{{g.batch * g.channels, func(i int, k *worker) {
			plane := k.scratch[:h*w]
			for j := range plane {
				plane[j] = -inf
			}
			set.Copy(&kernel.Rows{
				Count: g.h, N: g.w, Src: x.f[i*g.h*g.w : (i+1)*g.h*g.w], SrcStep: g.w,
				Dst: plane[g.top*w+g.left:], DstStep: w,
			})
			spreadMax(set, k, plane, g.kw, g.dw)
			spreadMax(set, k, plane, g.kh, g.dh*w)
			pick(set, g, y.f[i*g.oh*g.ow:(i+1)*g.oh*g.ow], plane, w, k.scratch[h*w:])
		}}}
	})
	return nil
}

// spreadMax sets each element to the largest of the k that stand step apart from it on,
// doubling the span each time. Those near the end, which lack some, are of no use after.
func spreadMax(set kernel.Set, w *worker, v []float32, k, step int) {
	size := 1
	for size < k && !w.stopped() {
		more := min(size, k-size)
		n := max(len(v)-more*step, 0)
		set.Zip(kernel.Max, v[:n], v[:n], v[min(more*step, len(v)):])
		size += more
	}
}

// pick takes the elements at the strides out of a plane with rows of w.
func pick(set kernel.Set, g *window, y, plane []float32, w int, aside []float32) {
	for oy := range g.oh {
		dst, src := y[oy*g.ow:(oy+1)*g.ow], plane[oy*g.sh*w:]
		switch g.sw {
		case 1:
			copy(dst, src)
		case 2:
			pairs := g.ow - 1
			set.Split(&kernel.Rows{Count: 1, N: pairs, Src: src, Dst: dst, Odd: aside})
			dst[pairs] = src[2*pairs]
		default:
			for ox := range dst {
				dst[ox] = src[ox*g.sw]
			}
		}
	}
}

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
