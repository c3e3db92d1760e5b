package builtin

import "primespark/agent/infer/builtin/kernel"

// A plane is where a window's field puts one padded channel: each row
// parted into the columns that are sw apart, so that neighbours in the result are
// neighbours in memory.
type plane struct {
	part  int // floats of one part of a row
	pitch int // floats of a row
	size  int // floats of the plane, without slack
}

// A field is a channel as a window goes over it, for kernels that work out a row of places
// at once: the elements that the window shows at neighbouring places lie side by side.
type field struct {
	*window
	plane
	set    kernel.Set
	offs   []int // of the window's elements, in bytes
	maxOff int   // the largest, in floats
	width  int   // a row of the result, in whole vectors
	direct int   // rows whose overhang stays within their own channel
}

// plane lays out h rows of w elements, padding included.
func (g *window) plane(h, w int) plane {
	part := (w + g.sw - 1) / g.sw
	return plane{part, part * g.sw, h * part * g.sw}
}

// fieldWidth is a row of the result, in whole vectors.
func (g *window) fieldWidth(set kernel.Set) int {
	lanes := set.Tile().Lanes
	return (g.ow + lanes - 1) / lanes * lanes
}

// fieldScratch is the floats that a worker needs: the plane, and a few rows of the result that
// cannot go straight to their place.
func (g *window) fieldScratch(set kernel.Set, h, w int) int {
	return g.plane(h, w).size + slack + g.oh*g.ow + 2*g.fieldWidth(set)
}

// field is the window's, over channels of h rows of w elements with their padding.
func (g *window) field(set kernel.Set, h, w int) field {
	t := field{window: g, plane: g.plane(h, w), set: set, width: g.fieldWidth(set)}
	for ky := range g.kh {
		for kx := range g.kw {
			off := ky*g.dh*t.pitch + kx*g.dw%g.sw*t.part + kx*g.dw/g.sw
			t.maxOff = max(t.maxOff, off)
			t.offs = append(t.offs, 4*off)
		}
	}
	if size := g.oh * g.ow; size >= t.width {
		t.direct = min((size-t.width)/g.ow+1, g.oh)
	}
	return t
}

// steps share out the channels. The padding is of the given elements.
func (t *field) steps(threads int, padding float32, channel func(i int, scratch []float32)) []step {
	total := t.batch * t.channels
	per := max(1, min(32, total/(4*threads)))
	return []step{{(total + per - 1) / per, func(task int, w *worker) {
		fill(w.scratch[:t.size+slack], padding) // every channel writes the same places between
		for i := task * per; i < min(total, (task+1)*per) && !w.stopped(); i++ {
			channel(i, w.scratch)
		}
	}}}
}

// A rowKernel works out rows of places. It is one of two, not a func: what a func that nobody
// knows is given would be allocated anew for each channel.
type rowKernel int

const (
	weigh rowKernel = iota // kernel.Set.Depth
	peak                   // kernel.Set.Peak
)

func (k rowKernel) run(set kernel.Set, d *kernel.Depth) {
	switch k {
	case weigh:
		set.Depth(d)
	case peak:
		set.Peak(d)
	}
}

// rows has a kernel work out the rows of y, the last ones aside.
func (t *field) rows(d *kernel.Depth, y, scratch []float32, by rowKernel) {
	d.Rows, d.Src, d.Dst = t.direct, scratch, y
	if d.Rows > 0 {
		by.run(t.set, d)
	}
	if rest := t.oh - t.direct; rest > 0 {
		d.Rows, d.Src, d.Dst = rest, scratch[t.direct*d.SrcStep:], scratch[t.size+slack:]
		by.run(t.set, d)
		copy(y[t.direct*t.ow:], d.Dst)
	}
}

// fill copies a channel into the plane.
func (t *field) fill(src, plane []float32) {
	k := t.window
	plane = plane[k.top*t.pitch:]
	switch k.sw {
	case 1:
		t.set.Copy(&kernel.Rows{Count: k.h, N: k.w, Src: src, SrcStep: k.w, Dst: plane[k.left:], DstStep: t.pitch})
	case 2:
		// The first column of the image goes to the part of its padded place.
		first, second := plane[k.left%2*t.part+k.left/2:], plane[(k.left+1)%2*t.part+(k.left+1)/2:]
		t.set.Split(&kernel.Rows{Count: k.h, N: k.w / 2, Src: src, SrcStep: k.w, Dst: first, Odd: second, DstStep: t.pitch})
		if k.w%2 == 1 {
			for r := range k.h {
				first[r*t.pitch+k.w/2] = src[(r+1)*k.w-1]
			}
		}
	default:
		for r := range k.h {
			for i, v := range src[r*k.w : (r+1)*k.w] {
				at := i + k.left
				plane[r*t.pitch+at%k.sw*t.part+at/k.sw] = v
			}
		}
	}
}
