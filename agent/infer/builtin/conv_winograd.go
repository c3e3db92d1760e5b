package builtin

import "primespark/agent/infer/builtin/kernel"

// A winograd is a convolution by filters of 3 by 3 that is worked out in tiles of 4 by 4 places,
// with a fourth of the multiplications (kernel.TilePlanes). A strip, some rows of tiles, is turned
// into factors, 36 planes of a row for each channel; each plane is then a matrix product of its
// own, and what they give is turned back.
type winograd struct {
	*conv
	set    kernel.Set
	tile   kernel.Tile
	th, tw int // rows of tiles, and tiles of a row
	strip  int // rows of tiles of a strip
	ld     int // floats of a channel in a plane
	block  int // channels of the result that a task works out
	part   int // floats of a fourth of a padded row
	offs   []int
	maxOff int
	u      [][]float32 // packed factors of the filters of each block, plane by plane
	zeros  []float32
}

// Bounds of what is worth it. Factors of filters take four times the memory of the filters.
const (
	leastWinograd = 8       // channels, on both sides
	mostFactors   = 1 << 20 // floats
	mostStrips    = 1 << 10
	stripTiles    = 64 // few enough for the factors to stay in the second cache
)

// winograd returns the plan, or nil where the convolution is of another kind, or too small.
func (k *conv) winograd() *winograd {
	one := k.sh == 1 && k.sw == 1 && k.dh == 1 && k.dw == 1 && k.groups == 1
	if !one || k.kh != 3 || k.kw != 3 || !k.weight.constant || k.shift != nil || min(k.channels, k.out) < leastWinograd {
		return nil
	}
	set := k.c.kernels()
	t := &winograd{conv: k, set: set, tile: set.Tile(), th: (k.oh + 3) / 4, tw: (k.ow + 3) / 4}
	t.strip = max(1, min(t.th, stripTiles/t.tw))
	t.ld = roundUp(t.strip*t.tw+t.tile.Lanes-1, t.tile.Cols())
	t.block, t.part = 2*t.tile.Rows, t.tw+1
	most := checked([]int{kernel.TilePlanes, k.channels + 1, t.ld}) != nil || checked([]int{4*t.strip + 2, 4 * t.part}) != nil
	padding := 10*16*t.th*t.tw > 16*k.oh*k.ow // more than three places in eight would be for nothing
	if most || padding || kernel.TilePlanes*k.channels*roundUp(k.out, t.block) > mostFactors || k.batch*t.strips() > mostStrips {
		return nil
	}
	return t
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

func (t *winograd) strips() int { return (t.th + t.strip - 1) / t.strip }

// planeStep is the floats from one plane of factors to the next: not a power of two, of which
// only a few lines would find room in the cache at once. productStep is that of products.
func (t *winograd) planeStep() int   { return t.channels*t.ld + arenaAlign }
func (t *winograd) productStep() int { return t.block*t.ld + arenaAlign }

// rows is the padded rows that a strip takes.
func (t *winograd) rows() int { return 4*t.strip + 2 }

func (t *winograd) emit() {
	n := t.conv.node
	plane, aside := t.rows()*4*t.part, kernel.TilePlanes*t.tile.Lanes
	n.scratch = max(3*plane+2*slack+aside, kernel.TilePlanes*t.productStep()+4*4*t.ld+slack+aside)
	n.keeps = 4 * int64(kernel.TilePlanes*t.channels*roundUp(t.out, t.block)+kernel.TilePlanes*t.block*t.channels+t.block)
	n.temp = &value{typ: t.x.typ, shape: []int{kernel.TilePlanes*t.planeStep() + t.tile.Cols()}}
	t.c.emit(t.steps)
}

func (t *winograd) steps() []step {
	t.factors()
	for i := range 6 {
		for j := range 6 {
			off := (4*i+j%4)*t.part + j/4
			t.offs, t.maxOff = append(t.offs, 4*off), max(t.maxOff, off)
		}
	}
	per := (t.channels + 2*t.c.options.threads - 1) / (2 * t.c.options.threads)
	var steps []step
	for i := range t.batch * t.strips() {
		image, first := i/t.strips(), i%t.strips()*t.strip
		last := min(first+t.strip, t.th)
		steps = append(steps,
			step{(t.channels + per - 1) / per, func(task int, w *worker) {
				t.spread(image, first, last, task*per, min(t.channels, (task+1)*per), w)
			}},
			step{len(t.u), func(task int, w *worker) { t.multiply(image, first, last, task, w) }},
		)
	}
	return steps
}

// factors packs those of the filters.
func (t *winograd) factors() {
	t.zeros = make([]float32, t.block)
	planes := make([]float32, kernel.TilePlanes*t.block*t.channels)
	size := t.block * t.channels
	for r0 := 0; r0 < t.out; r0 += t.block {
		rows := min(t.block, t.out-r0)
		for i := range rows * t.channels {
			for p, v := range kernel.TileFilter(t.weight.f[(r0*t.channels+i)*9:][:9]) {
				planes[p*size+i] = v
			}
		}
		u := make([]float32, kernel.TilePlanes*size)
		for p := range kernel.TilePlanes {
			t.set.PackA(u[p*size:(p+1)*size], planes[p*size:], rows, t.channels)
		}
		t.u = append(t.u, u)
	}
	t.weight.f = nil // this node's own view of the constant
}

// spread turns channels of a strip of one image into factors.
func (t *winograd) spread(image, first, last, channel, end int, w *worker) {
	rows, pitch := t.rows(), 4*t.part
	size := rows * pitch
	padded, halves, fourths := w.scratch[:size], w.scratch[size:2*size], w.scratch[2*size:3*size+2*slack]
	clear(padded) // what lies around the image; every channel writes the same places between
	// The strip begins above row y of the image, of which it takes those from to to.
	y := 4*first - t.top
	from, to := max(0, -y), min(rows, t.h-y)
	in := kernel.Tiles{
		Vecs: roundUp(t.tw, t.tile.Lanes) / t.tile.Lanes, Offs: t.offs, MaxOff: t.maxOff, Step: t.planeStep(), Aside: w.scratch[3*size+2*slack:],
	}
	for ch := channel; ch < end && !w.stopped(); ch++ {
		if from < to {
			t.set.Copy(&kernel.Rows{
				Count: to - from, N: t.w, Src: t.x.f[((image*t.channels+ch)*t.h+y+from)*t.w:], SrcStep: t.w,
				Dst: padded[from*pitch+t.left:], DstStep: pitch,
			})
		}
		t.set.Split(&kernel.Rows{Count: 1, N: size / 2, Src: padded, Dst: halves, Odd: halves[size/2:]})
		for i := range 2 {
			t.set.Split(&kernel.Rows{
				Count: rows, N: t.part, Src: halves[i*size/2:], SrcStep: 2 * t.part,
				Dst: fourths[i*t.part:], Odd: fourths[(2+i)*t.part:], DstStep: pitch,
			})
		}
		for ty := range last - first {
			in.Src, in.Dst = fourths[ty*4*pitch:], t.conv.node.temp.f[ch*t.ld+ty*t.tw:]
			t.set.TilesIn(&in)
		}
	}
}

// multiply works out a block of channels of a strip of one image.
func (t *winograd) multiply(image, first, last, block int, w *worker) {
	n, width := (last-first)*t.tw, t.tile.Cols()
	r0 := block * t.block
	rows := min(t.block, t.out-r0)
	products := w.scratch[:kernel.TilePlanes*t.productStep()]
	for p := range kernel.TilePlanes {
		if w.stopped() {
			return
		}
		g := kernel.Gemm{
			K: t.channels, Rows: roundUp(rows, t.tile.Rows), Vecs: t.tile.Vecs, Panels: n / width, A: t.u[block][p*t.block*t.channels:],
			B: t.conv.node.temp.f[p*t.planeStep():], LDB: t.ld, Step: width, C: products[p*t.productStep():], LDC: t.ld, Bias: t.zeros, Lo: -inf, Hi: inf,
		}
		if g.Panels > 0 {
			t.set.Gemm(&g)
		}
		if rest := n % width; rest > 0 {
			g.B, g.C = g.B[g.Panels*width:], g.C[g.Panels*width:]
			g.Panels, g.Vecs = 1, (rest+t.tile.Lanes-1)/t.tile.Lanes
			t.set.Gemm(&g)
		}
	}
	f := &t.conv.node.fuse
	wide := roundUp(n, t.tile.Lanes)
	places := w.scratch[len(products) : len(products)+4*4*t.ld+slack]
	out := kernel.Tiles{
		Vecs: wide / t.tile.Lanes, Step: t.productStep(), Aside: w.scratch[len(products)+len(places):],
		Dst: places, DstStep: 4 * wide, Lo: f.act.lo, Hi: f.act.hi,
	}
	if f.shortcut != nil {
		out.Lo, out.Hi = -inf, inf
	}
	for r := 0; r < rows && !w.stopped(); r++ {
		out.Src, out.Bias = products[r*t.ld:], f.bias[r0+r]
		t.set.TilesOut(&out)
		at := ((image*t.out+r0+r)*t.oh + 4*first) * t.ow
		below := min(4*last, t.oh) - 4*first // rows of the image
		for i := range min(4, below) {
			t.set.Copy(&kernel.Rows{
				Count: (below - i + 3) / 4, N: t.ow, Src: places[i*out.DstStep:], SrcStep: 4 * t.tw,
				Dst: t.y.f[at+i*t.ow:], DstStep: 4 * t.ow,
			})
		}
		t.finish(t.set, t.y.f[at:at+below*t.ow], at)
	}
}
