package builtin

import "primespark/agent/infer/builtin/kernel"

// A panel is one panel of a matrix product of any size, or several whole ones: whole tiles go straight to
// their place, and what is left at the lower and the right edge by way of a tile aside.
type panel struct {
	set    kernel.Set
	tile   kernel.Tile
	k      int
	rows   int
	cols   int       // at most tile.Cols(), or just that of each panel
	panels int       // 0 for one
	a      []float32 // packed
	b      []float32
	ldb    int
	step   int // from one panel of b to the next
	c      []float32
	ldc    int
	bias   []float32
	add    []float32 // what to add, laid out as c; nil for nothing
	lo, hi float32
}

// run works it out. aside has room for a tile.
func (p *panel) run(aside []float32) {
	width := p.tile.Cols()
	vecs := (min(p.cols, width) + p.tile.Lanes - 1) / p.tile.Lanes
	g := kernel.Gemm{
		K: p.k, Rows: p.rows / p.tile.Rows * p.tile.Rows, Vecs: vecs, Panels: p.panels, A: p.a, B: p.b, LDB: p.ldb, Step: p.step,
		C: p.c, LDC: p.ldc, Bias: p.bias, Add: p.add, Lo: p.lo, Hi: p.hi,
	}
	done := 0
	if p.cols%p.tile.Lanes == 0 && g.Rows > 0 {
		p.set.Gemm(&g)
		done = g.Rows
	}
	g.Rows, g.Panels, g.Add, g.C, g.LDC, g.Lo, g.Hi = p.tile.Rows, 1, nil, aside, width, -inf, inf
	for ; done < p.rows; done += p.tile.Rows {
		g.A, g.Bias = p.a[done*p.k:], p.bias[done:]
		for c0 := 0; c0 < p.cols; c0 += width {
			g.B = p.b[c0/width*p.step:]
			p.set.Gemm(&g)
			n := min(width, p.cols-c0)
			for r := range min(p.tile.Rows, p.rows-done) {
				p.edge(aside[r*width:r*width+n], (done+r)*p.ldc+c0)
			}
		}
	}
}

// edge finishes a row that was worked out aside and puts it into its place.
func (p *panel) edge(row []float32, at int) {
	dst := p.c[at : at+len(row)]
	if p.add != nil {
		for i, v := range p.add[at : at+len(row)] {
			row[i] += v
		}
	}
	if p.lo == -inf && p.hi == inf {
		copy(dst, row)
		return
	}
	for i, v := range row {
		dst[i] = min(max(v, p.lo), p.hi)
	}
}
