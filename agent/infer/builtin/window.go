package builtin

import (
	"errors"
	"fmt"
)

// A window is how a filter or a pool goes over an image: the sizes of the
// image, the window and the result, in rows (y) and columns (x). Networks of one
// spatial dimension have images of one row.
type window struct {
	batch, channels        int
	h, w                   int // of the image
	kh, kw                 int // of the window
	sh, sw                 int // strides
	dh, dw                 int // dilations
	top, left, bottom, end int // padding
	oh, ow                 int // of the result
	line                   bool
}

// padded is the size of the image with its padding.
func (g *window) padded() (h, w int) { return g.h + g.top + g.bottom, g.w + g.left + g.end }

func (g *window) pads() bool { return g.top+g.left+g.bottom+g.end > 0 }

// result is the shape of an output of so many channels.
func (g *window) result(channels int) []int {
	if g.line {
		return []int{g.batch, channels, g.ow}
	}
	return []int{g.batch, channels, g.oh, g.ow}
}

// Limits of a window's numbers: with them no sum or product of a few overflows.
const maxWindow = 1 << 20

// window reads the attributes that convolutions and pools share, of a window of
// the kernel's shape over the image x.
func (c *call) window2d(x *value, kernelShape []int, ceil bool) (*window, error) {
	spatial := len(x.shape) - 2
	if spatial != 1 && spatial != 2 {
		return nil, fmt.Errorf("an image of %d dimensions; 3 and 4 are supported", len(x.shape))
	}
	if len(kernelShape) != spatial {
		return nil, fmt.Errorf("a window of shape %v over an image of shape %v", kernelShape, x.shape)
	}
	list := func(attr string, n, otherwise, least int) ([]int, error) {
		v, ok, err := c.ints(1<<16, attr)
		if !ok || len(v) == 0 {
			v = make([]int, n)
			for i := range v {
				v[i] = otherwise
			}
		}
		if len(v) != n {
			return nil, fmt.Errorf("%s %v for %d dimensions", attr, v, spatial)
		}
		for _, d := range v {
			if d < least || d > maxWindow {
				return nil, fmt.Errorf("%s %v", attr, v)
			}
		}
		return v, err
	}
	strides, err := list("strides", spatial, 1, 1)
	dilations, err2 := list("dilations", spatial, 1, 1)
	pads, err3 := list("pads", 2*spatial, 0, 0)
	if err := errors.Join(err, err2, err3); err != nil {
		return nil, err
	}
	g := &window{batch: x.shape[0], channels: x.shape[1], line: spatial == 1, h: 1, kh: 1, sh: 1, dh: 1}
	at := spatial - 1
	g.w, g.kw, g.sw, g.dw, g.left, g.end = x.shape[2+at], kernelShape[at], strides[at], dilations[at], pads[at], pads[at+spatial]
	if !g.line {
		g.h, g.kh, g.sh, g.dh, g.top, g.bottom = x.shape[2], kernelShape[0], strides[0], dilations[0], pads[0], pads[2]
	}
	for _, d := range []int{g.w, g.kw, g.h, g.kh} {
		if d < 1 || d > maxWindow {
			return nil, fmt.Errorf("a window of shape %v over an image of shape %v", kernelShape, x.shape)
		}
	}
	switch auto := c.str("auto_pad", "NOTSET"); auto {
	case "NOTSET", "":
	case "VALID":
		g.top, g.left, g.bottom, g.end = 0, 0, 0, 0
	case "SAME_UPPER", "SAME_LOWER":
		g.top, g.bottom = same(g.h, g.kh, g.sh, g.dh, auto == "SAME_LOWER")
		g.left, g.end = same(g.w, g.kw, g.sw, g.dw, auto == "SAME_LOWER")
	default:
		return nil, fmt.Errorf("auto_pad %q", auto)
	}
	g.oh, err = places(g.h+g.top+g.bottom, g.kh, g.sh, g.dh, ceil, g.h+g.top)
	g.ow, err2 = places(g.w+g.left+g.end, g.kw, g.sw, g.dw, ceil, g.w+g.left)
	return g, errors.Join(err, err2)
}

// same is the padding that makes the result the image's size over the stride.
func same(n, k, stride, dilation int, lower bool) (before, after int) {
	total := max(((n+stride-1)/stride-1)*stride+(k-1)*dilation+1-n, 0)
	before, after = total/2, total-total/2
	if lower {
		before, after = after, before
	}
	return before, after
}

// places is the number of places of a window along a padded dimension. In ceil mode
// the last one may hang over the end, but begins before the end of the image (limit).
func places(padded, k, stride, dilation int, ceil bool, limit int) (int, error) {
	room := padded - (k-1)*dilation - 1
	if room < 0 {
		return 0, fmt.Errorf("a window of %d, %d apart, over %d elements with padding", k, dilation, padded)
	}
	n := room/stride + 1
	if ceil && room%stride != 0 && n*stride < limit {
		n++
	}
	return n, nil
}
