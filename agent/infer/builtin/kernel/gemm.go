package kernel

// A Gemm is some panels of a matrix product:
//
//	C = min(max(A×B + Bias + Add, Lo), Hi)
//
// A is packed: blocks of Tile.Rows rows, each block holding column after column;
// Rows is a multiple of Tile.Rows. B has K rows, LDB apart, of Vecs vectors, and that for
// each panel, Step apart; Panels of 0 are one. C has Rows rows, LDC apart, where the panels stand
// side by side, and so has Add, unless it is nil.
type Gemm struct {
	K, Rows, Vecs int
	Panels        int
	A, B          []float32
	LDB, Step     int
	C             []float32
	LDC           int
	Bias          []float32 // one for each row
	Add           []float32
	Lo, Hi        float32
}

type gemmArgs struct {
	k, blocks int
	a, b      *float32
	ldb       int // bytes
	c         *float32
	ldc       int // bytes
	bias, add *float32
	lo, hi    float32

	panels                    int
	nextB, nextC, nextCBlocks int // bytes from the end of a panel, or of a block, to the next one
}

// Gemm works out the panels, all of one block of rows before the next. K and Rows may not be 0.
func (s Set) Gemm(g *Gemm) {
	t := s.Tile()
	width, panels := g.Vecs*t.Lanes, max(g.Panels, 1)
	if g.Panels < 0 || g.Step < 0 || g.K < 1 || g.Rows < 1 || g.Rows%t.Rows != 0 || g.Vecs < 1 || g.Vecs > t.Vecs || g.LDB < 0 || g.LDC < 0 {
		panic("kernel: malformed matrix product")
	}
	need(len(g.A), g.K*g.Rows)
	need(len(g.B), (panels-1)*g.Step+(g.K-1)*g.LDB+width)
	need(len(g.C), (g.Rows-1)*g.LDC+panels*width)
	need(len(g.Bias), g.Rows)
	if g.Add != nil {
		need(len(g.Add), (g.Rows-1)*g.LDC+panels*width)
	}
	if s == Plain {
		for p := range panels {
			one := *g
			one.B, one.C = g.B[p*g.Step:], g.C[p*width:]
			if g.Add != nil {
				one.Add = g.Add[p*width:]
			}
			plainGemm(&one)
		}
		return
	}
	args := gemmArgs{
		k: g.K, blocks: g.Rows / t.Rows, a: &g.A[0], b: &g.B[0], ldb: 4 * g.LDB,
		c: &g.C[0], ldc: 4 * g.LDC, bias: &g.Bias[0], lo: g.Lo, hi: g.Hi,
		panels: panels, nextB: 4 * (g.Step - g.K*g.LDB), nextC: 4 * (width - t.Rows*g.LDC), nextCBlocks: 4 * (t.Rows*g.LDC - panels*width),
	}
	if g.Add != nil {
		args.add = &g.Add[0]
	}
	asmGemm(s, g.Vecs, &args)
}

// plainGemm goes through tiles of four rows and columns, two rows at a time: eight
// sums, and what they are made of, are as many as stay in registers.
func plainGemm(g *Gemm) {
	for r := 0; r < g.Rows; r += 2 {
		a := g.A[r/4*4*g.K+r%4:]
		c0, c1 := g.Bias[r], g.Bias[r+1]
		c := [8]float32{c0, c0, c0, c0, c1, c1, c1, c1}
		plainRows(&c, a, g.B, g.K, g.LDB)
		for i, v := range c {
			at := (r+i/4)*g.LDC + i%4
			if g.Add != nil {
				v += g.Add[at]
			}
			g.C[at] = min(max(v, g.Lo), g.Hi)
		}
	}
}

// plainRows adds the products of two rows of A and four columns of B.
func plainRows(c *[8]float32, a, b []float32, k, ldb int) {
	c00, c01, c02, c03, c10, c11, c12, c13 := c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
	for range k {
		y := (*[4]float32)(b)
		p, q := a[0], a[1]
		c00 += p * y[0]
		c01 += p * y[1]
		c02 += p * y[2]
		c03 += p * y[3]
		c10 += q * y[0]
		c11 += q * y[1]
		c12 += q * y[2]
		c13 += q * y[3]
		a, b = a[min(4, len(a)):], b[min(ldb, len(b)):]
	}
	*c = [8]float32{c00, c01, c02, c03, c10, c11, c12, c13}
}

// PackA packs a matrix of rows × k floats into dst for Gemm, filling up the last
// block with zeros: dst has the rows, rounded up to whole tiles, times k elements.
func (s Set) PackA(dst, a []float32, rows, k int) {
	n := s.Tile().Rows
	clear(dst[:(rows+n-1)/n*n*k])
	for r := range rows {
		block := dst[r/n*n*k:]
		for i, v := range a[r*k : (r+1)*k] {
			block[i*n+r%n] = v
		}
	}
}
