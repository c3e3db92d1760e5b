package builtin

import (
	"math/bits"

	"primespark/agent/infer/builtin/kernel"
)

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
	p := &maxPool{g, c.kernels(), x, y, c.options.threads, h, w}
	passes := 2 + bits.Len(uint(g.kh)) + bits.Len(uint(g.kw))
	c.node.work = int64(g.batch*g.channels) * int64(h*w) * int64(passes)
	if g.kh*g.kw <= 16 && checked([]int{h + 1, w + g.sw}) == nil {
		c.node.scratch = g.fieldScratch(c.kernels(), h, w)
		c.emit(p.fieldSteps)
		return nil
	}
	c.node.scratch = h*w + 2*g.ow + slack
	c.emit(func() []step { return []step{{g.batch * g.channels, p.byPlane}} })
	return nil
}

// A maxPool is what the tasks of one node share, of which each does a channel.
type maxPool struct {
	*window
	set     kernel.Set
	x, y    *value
	threads int
	ph, pw  int // what the windows reach over: the image, its padding and what lies beyond
}

// fieldSteps look at all elements of each window.
func (p *maxPool) fieldSteps() []step {
	t := p.field(p.set, p.ph, p.pw)
	size := p.oh * p.ow
	return t.steps(p.threads, -inf, func(i int, scratch []float32) {
		t.fill(p.x.f[i*p.h*p.w:(i+1)*p.h*p.w], scratch)
		d := kernel.Depth{Offs: t.offs, MaxOff: t.maxOff, Vecs: t.width / p.set.Tile().Lanes, SrcStep: p.sh * t.pitch, DstStep: p.ow}
		t.rows(&d, p.y.f[i*size:(i+1)*size], scratch, peak)
	})
}

// byPlane goes along and then down the whole channel, doubling what it has seen each time.
func (p *maxPool) byPlane(i int, k *worker) {
	plane := k.scratch[:p.ph*p.pw]
	fill(plane, -inf)
	p.set.Copy(&kernel.Rows{
		Count: p.h, N: p.w, Src: p.x.f[i*p.h*p.w : (i+1)*p.h*p.w], SrcStep: p.w,
		Dst: plane[p.top*p.pw+p.left:], DstStep: p.pw,
	})
	spreadMax(p.set, k, plane, p.kw, p.dw)
	spreadMax(p.set, k, plane, p.kh, p.dh*p.pw)
	for oy := range p.oh {
		p.pick(p.y.f[(i*p.oh+oy)*p.ow:][:p.ow], plane[oy*p.sh*p.pw:], k.scratch[p.ph*p.pw:])
	}
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

// pick takes the elements at the strides out of a row.
func (p *maxPool) pick(dst, row, aside []float32) {
	switch p.sw {
	case 1:
		copy(dst, row)
	case 2:
		pairs := p.ow - 1
		p.set.Split(&kernel.Rows{Count: 1, N: pairs, Src: row, Dst: dst, Odd: aside})
		dst[pairs] = row[2*pairs]
	default:
		for ox := range dst {
			dst[ox] = row[ox*p.sw]
		}
	}
}
