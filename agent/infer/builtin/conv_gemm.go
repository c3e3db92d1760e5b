package builtin

import (
	"primespark/agent/infer/builtin/kernel"
)

// planGemm emits a convolution as a matrix product: the result, a row for each
// channel and a column for each pixel, is weights times patches. Patches are
// gathered one panel at a time, into memory that stays in the cache.
func (k *conv) planGemm() error {
	tile := k.c.kernels().Tile()
	depth := k.depth()
	k.node.scratch = k.abreast()*(depth+1)*tile.Cols() + 2*tile.Cols() + tile.Rows*tile.Cols()
	blocks := (k.out/k.groups + tile.Rows - 1) / tile.Rows
	const headers = 48 // of the slices of a group
	k.node.keeps = int64(k.groups)*(4*int64(blocks*tile.Rows)*int64(depth+1)+headers) + 8*int64(depth)
	if k.x.constant && !k.pads() {
		k.node.keeps += 4 * int64(k.x.len()+slack) // a copy, with slack behind it
	}
	if k.pads() {
		h, w := k.padded()
		k.node.temp = &value{typ: k.x.typ, shape: []int{k.batch * k.channels, h, w}}
		if err := checked(k.node.temp.shape); err != nil {
			return err
		}
	}
	k.c.emit(k.gemmSteps)
	return nil
}

// abreast is the number of panels that are worked out together: so many as stay in the nearest
// cache beside a block of weights. What is read and written then lies in longer runs.
func (k *conv) abreast() int {
	const near = 24 << 10 // bytes, half of a usual cache
	return max(1, min(maxAbreast, near/(4*k.depth()*k.c.kernels().Tile().Cols())))
}

// depth is the number of weights of one channel of the result.
func (k *conv) depth() int { return k.channels / k.groups * k.kh * k.kw }

// direct reports whether the image is its own matrix of patches.
func (k *conv) direct() bool { return k.kh*k.kw*k.sh*k.sw == 1 && !k.pads() }

func (k *conv) gemmSteps() []step {
	set := k.c.kernels()
	t := &gemmTask{conv: k, set: set, tile: set.Tile(), k: k.depth(), rows: k.out / k.groups, cols: k.oh * k.ow, wide: k.abreast()}
	var steps []step
	source := k.x
	t.ih, t.iw = k.h, k.w
	if k.pads() {
		source = k.node.temp
		t.ih, t.iw = k.padded()
		steps = k.padSteps(set)
	}
	t.src = source.padded()
	t.offsets()
	steps = append(steps, t.weights()...)
	return append(steps, t.share(k.c.options.threads))
}

// padSteps copies the image into one with its padding around it.
func (k *conv) padSteps(set kernel.Set) []step {
	h, w := k.padded()
	dst := k.node.temp.f
	return []step{{k.batch * k.channels, func(i int, _ *worker) {
		plane := dst[i*h*w : (i+1)*h*w]
		clear(plane)
		set.Copy(&kernel.Rows{
			Count: k.h, N: k.w, Src: k.x.f[i*k.h*k.w : (i+1)*k.h*k.w], SrcStep: k.w,
			Dst: plane[k.top*w+k.left:], DstStep: w,
		})
	}}}
}

// A gemmTask is what the tasks of one convolution share.
type gemmTask struct {
	*conv
	set    kernel.Set
	tile   kernel.Tile
	k      int // weights of a channel
	rows   int // channels of a group of the result
	cols   int // pixels of the result
	ih, iw int // of the image that patches are taken from
	src    []float32
	offs   []int // byte offset of each weight's element within a patch
	maxOff int
	a      [][]float32 // packed weights of each group
	bias   [][]float32 // of each group, filled up to whole tiles

	span   int // panels of a task
	chunks int // parts that the rows of a group are divided into
	chunk  int // rows of a part
	wide   int // panels that are worked out together
}

func (t *gemmTask) offsets() {
	for ch := range t.channels / t.groups {
		for ky := range t.kh {
			for kx := range t.kw {
				off := (ch*t.ih+ky*t.dh)*t.iw + kx*t.dw
				t.maxOff = max(t.maxOff, off)
				t.offs = append(t.offs, 4*off)
			}
		}
	}
}

// weights packs the weights and the bias: now if they are constant, or else in a step.
func (t *gemmTask) weights() []step {
	full := (t.rows + t.tile.Rows - 1) / t.tile.Rows * t.tile.Rows
	for range t.groups {
		t.a = append(t.a, make([]float32, full*t.k))
		t.bias = append(t.bias, make([]float32, full))
	}
	pack := func() {
		for g := range t.groups {
			t.set.PackA(t.a[g], t.weight.f[g*t.rows*t.k:(g+1)*t.rows*t.k], t.rows, t.k)
			if b := t.node.fuse.bias; b != nil {
				copy(t.bias[g], b[g*t.rows:(g+1)*t.rows])
			} else {
				copy(t.bias[g], t.shift.f[g*t.rows:(g+1)*t.rows])
			}
		}
	}
	if t.node.fuse.weights != nil && t.node.fuse.bias != nil {
		pack()
		t.weight.f = nil // this node's own view of the constant
		return nil
	}
	return single(pack)
}

// share cuts the product into tasks: panels side by side, and the rows too where
// there are too few panels for all workers.
func (t *gemmTask) share(threads int) step {
	panels := (t.cols + t.tile.Cols() - 1) / t.tile.Cols()
	images := t.batch * t.groups
	t.span = max(1, min(8, panels*images/(4*threads)))
	spans := (panels + t.span - 1) / t.span
	t.chunks, t.chunk = 1, (t.rows+t.tile.Rows-1)/t.tile.Rows*t.tile.Rows
	if most := t.rows / 64; threads > 1 && images*spans < 2*threads && most > 1 {
		want := min(most, (2*threads+images*spans-1)/(images*spans))
		blocks := (t.rows + t.tile.Rows - 1) / t.tile.Rows
		t.chunk = (blocks + want - 1) / want * t.tile.Rows
		t.chunks = (t.rows + t.chunk - 1) / t.chunk
	}
	return step{images * spans * t.chunks, func(task int, w *worker) {
		part := task % t.chunks
		span := task / t.chunks % spans
		t.run(task/t.chunks/spans, span*t.span, min(panels, (span+1)*t.span), part*t.chunk, w)
	}}
}

// run works out the panels from first to last of one group of one image, of the
// rows of a chunk.
func (t *gemmTask) run(image, first, last, row int, w *worker) {
	width, g := t.tile.Cols(), image%t.groups
	per := t.channels / t.groups * t.ih * t.iw
	src := t.src[image*per : len(t.src)]
	rows := min(t.chunk, t.rows-row)
	at := (image*t.rows + row) * t.cols
	p := panel{set: t.set, tile: t.tile, k: t.k, rows: rows, a: t.a[g][row*t.k:], bias: t.bias[g][row:], ldc: t.cols}
	f := &t.node.fuse
	p.lo, p.hi = f.act.lo, f.act.hi
	for i := first; i < last && !w.stopped(); i += p.panels {
		c0 := i * width
		p.panels = max(1, min(last-i, t.cols/width-i, t.wide)) // what is no whole panel goes alone
		p.cols = min(width*p.panels, t.cols-c0)
		if t.direct() && t.rows <= 4*t.tile.Rows && t.set != kernel.Plain { // plain Go does not read beyond tensors
			p.b, p.ldb, p.step = src[c0:], t.cols, width
		} else {
			p.b, p.ldb, p.step = w.scratch, width, (t.k+1)*width
			t.gather(src, c0, p.cols, w)
		}
		p.c = t.y.f[at+c0:]
		if f.shortcut != nil {
			p.add = f.shortcut.f[at+c0:]
		}
		p.run(w.scratch[t.wide*(t.k+1)*width+2*width:])
	}
	if f.act.curved() {
		from, to := first*width, min(last*width, t.cols)
		for r := range rows {
			y := t.y.f[at+r*t.cols+from : at+r*t.cols+to]
			f.act.apply(t.set, y, y)
		}
	}
}

// maxAbreast bounds how many panels are worked out together.
const maxAbreast = 8

// packing is a worker's list of the segments of a panel.
type packing struct {
	segs [maxAbreast * 64]kernel.Segment
}

// gather packs the patches of count pixels from pixel c0 on, panel by panel. Between panels there is
// room for what the last row of one has too much.
func (t *gemmTask) gather(src []float32, c0, count int, w *worker) {
	p := kernel.Pack{Stride: t.sw, Src: src, Offs: t.offs, MaxOff: t.maxOff, Dst: w.scratch}
	segs := w.packing.segs[:0]
	width := t.tile.Cols()
	for done := 0; done < count; {
		y, x := (c0+done)/t.ow, (c0+done)%t.ow
		n := min(count-done, t.ow-x, width-done%width)
		if t.sw > 2 {
			n = 1
		}
		segs = append(segs, kernel.Segment{Src: 4 * (y*t.sh*t.iw + x*t.sw), Dst: 4 * (done/width*(t.k+1)*width + done%width), N: n})
		done += n
	}
	if t.sw > 2 {
		p.Stride = 1
	}
	p.Segs = segs
	t.set.Pack(&p)
}
