package builtin

import (
	"errors"
	"fmt"
)

// opConvTranspose spreads each element of the image over a window of the result.
func opConvTranspose(c *call) error {
	if err := c.needFloats(2, 3); err != nil {
		return err
	}
	x, w, b := c.in[0], c.in[1], c.input(2)
	if len(x.shape) != 4 || len(w.shape) != 4 {
		return fmt.Errorf("weights of shape %v for an image of shape %v", w.shape, x.shape)
	}
	groups := c.int("group", 1)
	if groups < 1 || x.shape[1]%groups != 0 || w.shape[0] != x.shape[1] {
		return fmt.Errorf("weights of shape %v in %d groups for %d channels", w.shape, groups, x.shape[1])
	}
	out := w.shape[1] * groups
	if b != nil && b.len() != out {
		return errChannels(b, out)
	}
	g, err := c.spreadWindow(x, w)
	if err != nil {
		return err
	}
	y, err := c.give(0, x.typ, g.result(out)...)
	if err != nil {
		return err
	}
	c.node.macs = int64(x.len()) * int64(product(w.shape[1:]))
	per, each := x.shape[1]/groups, w.shape[1]
	if k := (&spreader{window: g, c: c, x: x, y: y, weight: w, bias: b, groups: groups, per: per, each: each}); k.fits() {
		return k.emit()
	}
	c.emit(func() []step {
		return []step{{g.batch * out, func(i int, wk *worker) {
			image, o := i/out, i%out
			dst := y.f[i*g.oh*g.ow : (i+1)*g.oh*g.ow]
			for j := range dst {
				dst[j] = 0
				if b != nil {
					dst[j] = b.f[o]
				}
			}
			for ch := o / each * per; ch < (o/each+1)*per; ch++ {
				src := x.f[(image*g.channels+ch)*g.h*g.w:]
				g.scatter(wk, dst, src[:g.h*g.w], w.f[(ch*each+o%each)*g.kh*g.kw:])
			}
		}}}
	})
	return nil
}

// scatter adds an image, spread by the window's weights, to a channel of the result.
func (g *window) scatter(wk *worker, dst, src, weights []float32) {
	for iy := range g.h {
		for ky := range g.kh {
			oy := iy*g.sh + ky*g.dh - g.top
			if oy < 0 || oy >= g.oh {
				continue
			}
			for kx := range g.kw {
				if wk.stopped() {
					return
				}
				w, ox := weights[ky*g.kw+kx], kx*g.dw-g.left
				for _, v := range src[iy*g.w : (iy+1)*g.w] {
					if ox >= 0 && ox < g.ow {
						dst[oy*g.ow+ox] += v * w
					}
					ox += g.sw
				}
			}
		}
	}
}

// spreadWindow is window2d for a transposed convolution.
func (c *call) spreadWindow(x, w *value) (*window, error) {
	g := &window{batch: x.shape[0], channels: x.shape[1], h: x.shape[2], w: x.shape[3], kh: w.shape[2], kw: w.shape[3]}
	get := func(attr string, n, otherwise, least int) []int {
		v, _, err2 := c.ints(1<<16, attr)
		if len(v) == 0 {
			v = []int{otherwise, otherwise, otherwise, otherwise}[:n]
		}
		for _, d := range v {
			if d < least || d > maxWindow || err2 != nil {
				return nil
			}
		}
		if len(v) != n {
			return nil
		}
		return v
	}
	strides, dilations := get("strides", 2, 1, 1), get("dilations", 2, 1, 1)
	pads, more := get("pads", 4, 0, 0), get("output_padding", 2, 0, 0)
	if strides == nil || dilations == nil || pads == nil || more == nil || max(g.h, g.w, g.kh, g.kw) > maxWindow {
		return nil, errors.New("strides, dilations, pads or output_padding out of range")
	}
	g.sh, g.sw, g.dh, g.dw = strides[0], strides[1], dilations[0], dilations[1]
	g.top, g.left, g.bottom, g.end = pads[0], pads[1], pads[2], pads[3]
	fullH := (g.h-1)*g.sh + reach(g.kh, g.dh) + more[0]
	fullW := (g.w-1)*g.sw + reach(g.kw, g.dw) + more[1]
	auto := c.str("auto_pad", "NOTSET")
	if shape, ok, err := c.ints(1<<16, "output_shape"); ok {
		if err != nil || len(shape) != 2 {
			return nil, fmt.Errorf("output_shape %v", shape)
		}
		g.top, g.bottom = halves(fullH-shape[0], auto)
		g.left, g.end = halves(fullW-shape[1], auto)
	} else if auto == "SAME_UPPER" || auto == "SAME_LOWER" {
		g.top, g.bottom = halves(fullH-g.h*g.sh, auto)
		g.left, g.end = halves(fullW-g.w*g.sw, auto)
	}
	g.oh, g.ow = fullH-g.top-g.bottom, fullW-g.left-g.end
	if g.oh < 1 || g.ow < 1 {
		return nil, fmt.Errorf("a result of %d by %d", g.oh, g.ow)
	}
	return g, nil
}

// halves parts padding between the two ends; a negative one adds to the far end.
func halves(total int, auto string) (before, after int) {
	if total < 0 {
		return 0, total
	}
	if auto == "SAME_UPPER" {
		return total / 2, total - total/2
	}
	return total - total/2, total / 2
}
