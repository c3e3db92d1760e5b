package builtin

import "primespark/agent/infer/builtin/kernel"

// A panel is one panel of a matrix product of any size: whole tiles go straight to
// their place, and what is left at the lower and the right edge by way of a tile aside.
type panel struct {
	set    kernel.Set
	tile   kernel.Tile
	k      int
	rows   int
	cols   int       // at most tile.Cols()
	a      []float32 // packed
	b      []float32
	ldb    int
	c      []float32
	ldc    int
	bias   []float32
	add    []float32 // what to add, laid out as c; nil for nothing
	lo, hi float32
}

// run works it out. aside has room for a tile.
func (p *panel) run(aside []float32) {
	vecs := (p.cols + p.tile.Lanes - 1) / p.tile.Lanes
	g := kernel.Gemm{
		K: p.k, Rows: p.rows / p.tile.Rows * p.tile.Rows, Vecs: vecs, A: p.a, B: p.b, LDB: p.ldb,
		C: p.c, LDC: p.ldc, Bias: p.bias, Add: p.add, Lo: p.lo, Hi: p.hi,
	}
	done := 0
	if p.cols == vecs*p.tile.Lanes && g.Rows > 0 {
		p.set.Gemm(&g)
		done = g.Rows
	}
	g.Rows, g.Add, g.C, g.LDC, g.Lo, g.Hi = p.tile.Rows, nil, aside, p.tile.Cols(), -inf, inf
	for ; done < p.rows; done += p.tile.Rows {
		g.A, g.Bias = p.a[done*p.k:], p.bias[done:]
		p.set.Gemm(&g)
		for r := range min(p.tile.Rows, p.rows-done) {
			p.edge(aside[r*g.LDC:r*g.LDC+p.cols], (done+r)*p.ldc)
		}
	}
}

// edge finishes a row that was worked out aside and puts it into its place.
func (p *panel) edge(row []float32, at int) {
	dst := p.c[at : at+p.cols]
	if p.add != nil {
		for i, v := range p.add[at : at+p.cols] {
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
