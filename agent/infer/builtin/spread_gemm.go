package builtin

import "primespark/agent/infer/builtin/kernel"

// A spreader is a transposed convolution as a matrix product: a row for each weight that
// an element of the image is spread by, a column for each element. The products are then
// added up where they belong.
type spreader struct {
	*window
	c              *call
	x, y           *value
	weight, bias   *value // bias is nil for none
	groups         int
	per, each      int // channels of the image, and of the result, in a group
	set            kernel.Set
	tile           kernel.Tile
	rows, cols     int
	packed         [][]float32 // weights of each group
	zeros          []float32
	panels, panelW int
}

// Bounds of what is worth it: windows of usual size, and products that do not take
// much more memory than the tensors.
const (
	maxSpread   = 64
	maxProducts = 1 << 23
)

func (k *spreader) fits() bool {
	k.rows, k.cols = k.each*k.kh*k.kw, k.h*k.w
	return k.weight.constant && k.kh*k.kw <= maxSpread && k.products() <= maxProducts
}

// products is the number of them, of the whole batch.
func (k *spreader) products() int64 {
	return int64(k.batch*k.groups) * int64(k.rows) * int64(k.cols)
}

func (k *spreader) emit() error {
	k.set = k.c.kernels()
	k.tile = k.set.Tile()
	k.panelW = k.tile.Cols()
	k.panels = (k.cols + k.panelW - 1) / k.panelW
	full := (k.rows + k.tile.Rows - 1) / k.tile.Rows * k.tile.Rows
	k.c.node.scratch = (k.per + k.tile.Rows) * k.panelW
	k.c.node.keeps = 4 * (int64(k.groups)*int64(full)*int64(k.per) + int64(full) + int64(k.rows)*int64(k.per))
	k.c.node.temp = &value{typ: k.x.typ, shape: []int{int(k.products())}}
	k.c.emit(func() []step {
		k.pack(full)
		return []step{
			{k.batch * k.groups * k.panels, k.multiply},
			{k.batch * k.groups * k.each, k.gather},
		}
	})
	return nil
}

// pack puts the weights, which stand by channels of the image, in the kernel's order.
func (k *spreader) pack(full int) {
	k.zeros = make([]float32, full)
	turned := make([]float32, k.rows*k.per)
	for g := range k.groups {
		for ch := range k.per {
			for r, v := range k.weight.f[(g*k.per+ch)*k.rows : (g*k.per+ch+1)*k.rows] {
				turned[r*k.per+ch] = v
			}
		}
		a := make([]float32, full*k.per)
		k.set.PackA(a, turned, k.rows, k.per)
		k.packed = append(k.packed, a)
	}
}

// multiply works out one panel of the products of one group of one image.
func (k *spreader) multiply(task int, w *worker) {
	at, c0 := task/k.panels, task%k.panels*k.panelW
	n := min(k.panelW, k.cols-c0)
	for ch := range k.per {
		row := w.scratch[ch*k.panelW : (ch+1)*k.panelW]
		copy(row, k.x.f[(at*k.per+ch)*k.cols+c0:][:n])
		clear(row[n:])
	}
	p := panel{
		set: k.set, tile: k.tile, k: k.per, rows: k.rows, cols: n, a: k.packed[at%k.groups], b: w.scratch, ldb: k.panelW,
		c: k.c.node.temp.f[at*k.rows*k.cols+c0:], ldc: k.cols, bias: k.zeros, lo: -inf, hi: inf,
	}
	p.run(w.scratch[k.per*k.panelW:])
}

// gather adds up one channel of the result.
func (k *spreader) gather(task int, w *worker) {
	dst := k.y.f[task*k.oh*k.ow : (task+1)*k.oh*k.ow]
	start := float32(0)
	if k.bias != nil {
		start = k.bias.f[task%(k.groups*k.each)]
	}
	for i := range dst {
		dst[i] = start
	}
	taps := k.kh * k.kw
	for tap := range taps {
		src := k.c.node.temp.f[(task*taps+tap)*k.cols:][:k.cols]
		ky, kx := tap/k.kw*k.dh-k.top, tap%k.kw*k.dw-k.left
		first := max(0, (k.sw-1-kx)/k.sw) // the first column that does not lie left of the result
		for iy := range k.h {
			oy := iy*k.sh + ky
			if oy < 0 || oy >= k.oh || w.stopped() {
				continue
			}
			line := dst[oy*k.ow : (oy+1)*k.ow]
			for ix, ox := first, first*k.sw+kx; ix < k.w && ox < k.ow; ix, ox = ix+1, ox+k.sw {
				line[ox] += src[iy*k.w+ix]
			}
		}
	}
}
