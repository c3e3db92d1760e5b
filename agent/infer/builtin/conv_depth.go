package builtin

import (
	"fmt"

	"primespark/agent/infer/builtin/kernel"
	"primespark/shared/tensor"
)

// A plane is where a depthwise convolution puts one padded channel: each row
// parted into the columns that are sw apart, so that neighbours in the result are
// neighbours in memory.
type plane struct {
	part  int // floats of one part of a row
	pitch int // floats of a row
	size  int // floats of the plane, without slack
}

func (k *conv) plane() plane {
	h, w := k.padded()
	part := (w + k.sw - 1) / k.sw
	return plane{part, part * k.sw, h * part * k.sw}
}

// planDepth emits a convolution of which each channel has filters of its own.
func (k *conv) planDepth() error {
	if h, w := k.padded(); checked([]int{h + 1, w + k.sw}) != nil {
		return fmt.Errorf("an image of %d by %d with its padding: %w", h, w, tensor.ErrTooLarge)
	}
	p := k.plane()
	lanes := k.c.kernels().Tile().Lanes
	row := (k.ow + lanes - 1) / lanes * lanes
	// The plane, and a few rows of the result that cannot go straight to their place.
	k.node.scratch = p.size + slack + k.oh*k.ow + 2*row
	k.c.emit(func() []step { return k.depthSteps(p, row) })
	return nil
}

// A depthTask is what the tasks of one depthwise convolution share.
type depthTask struct {
	*conv
	plane
	set    kernel.Set
	offs   []int
	maxOff int
	width  int // a row of the result, in whole vectors
	direct int // rows whose overhang stays within their own channel
}

func (k *conv) depthSteps(p plane, width int) []step {
	t := &depthTask{conv: k, plane: p, set: k.c.kernels(), width: width}
	for ky := range k.kh {
		for kx := range k.kw {
			off := ky*k.dh*p.pitch + kx*k.dw%k.sw*p.part + kx*k.dw/k.sw
			t.maxOff = max(t.maxOff, off)
			t.offs = append(t.offs, 4*off)
		}
	}
	if size := k.oh * k.ow; size >= width {
		t.direct = min((size-width)/k.ow+1, k.oh)
	}
	total := k.batch * k.channels
	per := max(1, min(32, total/(4*k.c.options.threads)))
	return []step{{(total + per - 1) / per, func(task int, w *worker) {
		clear(w.scratch[:p.size+slack]) // the padding; every channel writes the same places between
		for i := task * per; i < min(total, (task+1)*per) && !w.stopped(); i++ {
			t.channel(i, w.scratch)
		}
	}}}
}

// channel convolves channel i of all channels of the batch.
func (t *depthTask) channel(i int, scratch []float32) {
	k := t.conv
	t.fill(k.x.f[i*k.h*k.w:(i+1)*k.h*k.w], scratch)
	each := k.out / k.groups
	size, taps := k.oh*k.ow, k.kh*k.kw
	act := k.node.fuse.act
	for o := i % k.channels * each; o < (i%k.channels+1)*each; o++ {
		at := (i/k.channels*k.out + o) * size
		y := k.y.f[at : at+size]
		d := kernel.Depth{
			Offs: t.offs, MaxOff: t.maxOff, W: k.node.fuse.weights.f[o*taps : (o+1)*taps], Src: scratch, Dst: y,
			Rows: t.direct, Vecs: t.width / t.set.Tile().Lanes, SrcStep: k.sh * t.pitch, DstStep: k.ow,
			Bias: k.node.fuse.bias[o], Lo: act.lo, Hi: act.hi,
		}
		if k.node.fuse.shortcut != nil {
			d.Lo, d.Hi = -inf, inf
		}
		if d.Rows > 0 {
			t.set.Depth(&d)
		}
		if rest := k.oh - t.direct; rest > 0 {
			d.Rows, d.Src, d.Dst = rest, scratch[t.direct*d.SrcStep:], scratch[t.size+slack:]
			t.set.Depth(&d)
			copy(y[t.direct*k.ow:], d.Dst)
		}
		k.finish(t.set, y, at)
	}
}

// finish does to a block of the result, from element at on, what the kernel has not done.
func (k *conv) finish(set kernel.Set, y []float32, at int) {
	f := &k.node.fuse
	if f.shortcut != nil {
		set.Zip(kernel.Add, y, y, f.shortcut.f[at:at+len(y)])
		if f.act.kind == actClamp {
			f.act.apply(set, y, y)
		}
	}
	if f.act.curved() {
		f.act.apply(set, y, y)
	}
}

// fill copies a channel into the plane.
func (t *depthTask) fill(src, plane []float32) {
	k := t.conv
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
