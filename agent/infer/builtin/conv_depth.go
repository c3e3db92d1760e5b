package builtin

import (
	"fmt"

	"primespark/agent/infer/builtin/kernel"
	"primespark/shared/tensor"
)

// planDepth emits a convolution of which each channel has filters of its own.
func (k *conv) planDepth() error {
	if h, w := k.padded(); checked([]int{h + 1, w + k.sw}) != nil {
		return fmt.Errorf("an image of %d by %d with its padding: %w", h, w, tensor.ErrTooLarge)
	}
	h, w := k.padded()
	k.node.scratch = k.fieldScratch(k.c.kernels(), h, w)
	k.c.emit(func() []step { return k.depthSteps(h, w) })
	return nil
}

// A depthTask is what the tasks of one depthwise convolution share.
type depthTask struct {
	*conv
	field
}

func (k *conv) depthSteps(h, w int) []step {
	t := &depthTask{k, k.field(k.c.kernels(), h, w)}
	return t.steps(k.c.options.threads, 0, t.channel)
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
			Offs: t.offs, MaxOff: t.maxOff, W: k.node.fuse.weights.f[o*taps : (o+1)*taps], Vecs: t.width / t.set.Tile().Lanes,
			SrcStep: k.sh * t.pitch, DstStep: k.ow, Bias: k.node.fuse.bias[o], Lo: act.lo, Hi: act.hi,
		}
		if k.node.fuse.shortcut != nil {
			d.Lo, d.Hi = -inf, inf
		}
		t.rows(&d, y, scratch, weigh)
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
