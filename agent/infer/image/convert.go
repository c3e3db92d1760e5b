package image

import (
	"fmt"
	"sync"

	"primespark/shared/model"
	"primespark/shared/tensor"
)

// A Converter makes the input tensor of one model out of images: turned upright,
// resized, in the model's order of channels and dimensions. It is safe to share;
// its buffers are used again.
type Converter struct {
	input         model.Input
	how           model.Preprocess
	width, height int
	channels      int
	scratch       sync.Pool // of *scratch
}

// NewConverter returns a converter for a manifest that has a preprocess step.
func NewConverter(m model.Manifest) *Converter {
	c := &Converter{input: m.Inputs[0], how: *m.Preprocess}
	c.width, c.height, c.channels = c.input.Size()
	c.scratch.New = func() any { return new(scratch) }
	return c
}

// Convert fills out, a tensor as the model's input, with img, and returns where
// img stands in it.
func (c *Converter) Convert(img *Image, out tensor.Tensor) (Fit, error) {
	if err := c.input.Spec().Fits(out.Type, out.Shape); err != nil {
		return Fit{}, fmt.Errorf("convert image: %w", err)
	}
	s := c.scratch.Get().(*scratch)
	defer c.scratch.Put(s)
	f := fit(c.how.Resize, c.how.Anchor, img.Width, img.Height, c.width, c.height)
	s.prepare(img, f)
	w := c.writer(img.orientation, f)
	if out.Type == tensor.Uint8 {
		convert(w, s, img, out.Data, round, writer.bytes)
	} else {
		convert(w, s, img, out.Float32s(), same, writer.floats)
	}
	return f.Fit, nil
}

// A writer knows where each pixel of the stored orientation goes.
type writer struct {
	base             int // of the first stored pixel
	right, down      int // steps to the next stored pixel, and row
	channel          int // step to the next channel
	mean, scale      [3]float32
	pad              float32
	above, below     int  // pixels of the input, row by row: only those from above to below are not all padding
	beside           bool // some of these are, too
	channels, pixels int
	bgr              bool
	planar           bool
}

func (c *Converter) writer(o Orientation, f frame) writer {
	w := writer{
		channels: c.channels, pixels: c.width * c.height, bgr: c.how.Color == model.BGR,
		pad: float32(c.how.Pad), above: f.y * c.width, below: (f.y + f.h) * c.width, beside: f.w < c.width,
		planar: c.input.Layout != model.NHWC,
	}
	pixel := c.channels
	w.channel = 1
	if w.planar {
		pixel, w.channel = 1, w.pixels
	}
	for i := range c.channels {
		w.mean[i], w.scale[i] = float32(c.how.Mean[i]), float32(c.how.Scale[i])
	}
	w.right, w.down = pixel, pixel*c.width
	w.base = f.y*w.down + f.x*w.right
	columns, rows := o.mirrored()
	if columns {
		w.base += (f.w - 1) * w.right
		w.right = -w.right
	}
	if rows {
		w.base += (f.h - 1) * w.down
		w.down = -w.down
	}
	if o.Turned() {
		w.right, w.down = w.down, w.right
	}
	return w
}

// A scratch is what one conversion needs besides its input and output.
type scratch struct {
	key   scratchKey // of the tables below
	x, y  []axis     // for each plane
	acc   []int32    // a row of a plane, summed up over rows
	rows  [3][]int32 // a row of the output for each plane or channel
	width int        // of what is filled, in the stored orientation
	high  int
}

type scratchKey struct {
	frame
	Orientation
	planes [3][4]int
}

// prepare makes the tables, unless the last image had the same measures.
func (s *scratch) prepare(img *Image, f frame) {
	key := scratchKey{frame: f, Orientation: img.orientation}
	for i, p := range img.planes {
		key.planes[i] = [4]int{p.width, p.height, p.subX, p.subY}
	}
	if s.key == key {
		return
	}
	s.key = key
	columns, rows := img.orientation.mirrored()
	x, y, w, h := f.seenX, f.seenY, f.seenW, f.seenH
	if columns {
		x = float64(f.Width) - x - w
	}
	if rows {
		y = float64(f.Height) - y - h
	}
	s.width, s.high = f.w, f.h
	if img.orientation.Turned() {
		x, y, w, h = y, x, h, w
		s.width, s.high = f.h, f.w
	}
	s.x, s.y = grow(s.x, len(img.planes)), grow(s.y, len(img.planes))
	widest := 0
	for i, p := range img.planes {
		subX, subY := float64(p.subX), float64(p.subY)
		s.x[i].make(p.width, x/subX, w/subX, s.width)
		s.y[i].make(p.height, y/subY, h/subY, s.high)
		widest = max(widest, p.width*p.step)
	}
	s.acc = grow(s.acc, widest)
	for i := range s.rows {
		s.rows[i] = grow(s.rows[i], s.width)
	}
}

// convert is the loop over the rows of the stored image. Number makes an element
// of a value; store writes a whole row, so that no call stands in its loop.
func convert[E byte | float32](w writer, s *scratch, img *Image, out []E, number func(float32) E, store func(writer, *scratch, int, []E)) {
	for c := range w.channels {
		v := number((w.pad - w.mean[c]) * w.scale[c])
		if w.beside {
			pad(w, out, c, 0, w.pixels, v)
			continue
		}
		pad(w, out, c, 0, w.above, v)
		pad(w, out, c, w.below, w.pixels, v)
	}
	for y := range s.high {
		s.row(img, y, w.channels == 1)
		store(w, s, y, out)
	}
}

func same(v float32) float32 { return v }

func round(v float32) byte { return byte(min(max(v+0.5, 0), 255)) }

// pad fills the pixels from first to end of a channel.
func pad[E byte | float32](w writer, out []E, channel, first, end int, v E) {
	if w.planar {
		plane := out[channel*w.pixels:][first:end]
		for i := range plane {
			plane[i] = v
		}
		return
	}
	for i := first; i < end; i++ {
		out[i*w.channels+channel] = v
	}
}

// line returns row y of a channel, where its first element goes, and what makes
// a number of a sample: times scale, plus shift.
func (w writer) line(s *scratch, y, channel int) (row []int32, at int, scale, shift float32) {
	from := channel
	if w.bgr {
		from = 2 - channel
	}
	return s.rows[from], w.base + y*w.down + channel*w.channel, w.scale[channel] / (1 << fracBits), -w.mean[channel] * w.scale[channel]
}

func (w writer) floats(s *scratch, y int, out []float32) {
	for c := range w.channels {
		row, at, scale, shift := w.line(s, y, c)
		if w.right == 1 {
			line := out[at:][:len(row)]
			for x, v := range row {
				line[x] = float32(v)*scale + shift
			}
			continue
		}
		for _, v := range row {
			out[at] = float32(v)*scale + shift
			at += w.right
		}
	}
}

func (w writer) bytes(s *scratch, y int, out []byte) {
	for c := range w.channels {
		row, at, scale, shift := w.line(s, y, c)
		for _, v := range row {
			out[at] = round(float32(v)*scale + shift)
			at += w.right
		}
	}
}

// row makes output row y: red, green and blue in s.rows, or gray in the first.
func (s *scratch) row(img *Image, y int, gray bool) {
	if p := img.planes[0]; p.step == 4 {
		s.y[0].rows(s.acc, p, y, &s.x[0])
		s.x[0].columns4(s.rows[0], s.rows[1], s.rows[2], s.acc)
		if gray {
			toGray(s.rows[0], s.rows[1], s.rows[2])
		}
		return
	}
	for i, p := range img.planes {
		if gray && i > 0 {
			return // brightness is all that is asked for
		}
		s.y[i].rows(s.acc, p, y, &s.x[i])
		s.x[i].columns(s.rows[i], s.acc)
	}
	if len(img.planes) == 1 && !gray {
		copy(s.rows[1], s.rows[0])
		copy(s.rows[2], s.rows[0])
		return
	}
	if !gray {
		toRGB(s.rows[0], s.rows[1], s.rows[2])
	}
}

// toRGB turns Y, Cb, Cr into red, green, blue in place, by JFIF's equations
// (ITU T.871, 7) as image/color has them.
func toRGB(ys, cbs, crs []int32) {
	const half = 128 << fracBits
	cbs, crs = cbs[:len(ys)], crs[:len(ys)]
	for i, y := range ys {
		cb, cr := int(cbs[i])-half, int(crs[i])-half
		yy := int(y) << 16
		ys[i] = clamp((yy + 91881*cr) >> 16)
		cbs[i] = clamp((yy - 22554*cb - 46802*cr) >> 16)
		crs[i] = clamp((yy + 116130*cb) >> 16)
	}
}

// toGray leaves the brightness in r, as image/color has it.
func toGray(r, g, b []int32) {
	g, b = g[:len(r)], b[:len(r)]
	for i := range r {
		r[i] = int32((19595*int(r[i]) + 38470*int(g[i]) + 7471*int(b[i])) >> 16)
	}
}

func clamp(v int) int32 {
	if uint(v) <= full {
		return int32(v)
	}
	if v < 0 {
		return 0
	}
	return full
}
