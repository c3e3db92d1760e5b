package kernel

// A Gemm is one panel of a matrix product:
//
//	C = min(max(A×B + Bias + Add, Lo), Hi)
//
// A is packed: blocks of Tile.Rows rows, each block holding column after column;
// Rows is a multiple of Tile.Rows. B has K rows, LDB apart, of Vecs vectors. C
// has Rows rows, LDC apart, and so has Add, unless it is nil.
type Gemm struct {
	K, Rows, Vecs int
	A, B          []float32
	LDB           int
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
}

// Gemm works out one panel. K and Rows may not be 0.
func (s Set) Gemm(g *Gemm) {
	t := s.Tile()
	width := g.Vecs * t.Lanes
	if g.K < 1 || g.Rows < 1 || g.Rows%t.Rows != 0 || g.Vecs < 1 || g.Vecs > t.Vecs || g.LDB < 0 || g.LDC < 0 {
		panic("kernel: malformed matrix product")
	}
	_, _, _, _ = g.A[g.K*g.Rows-1], g.B[(g.K-1)*g.LDB+width-1], g.C[(g.Rows-1)*g.LDC+width-1], g.Bias[g.Rows-1]
	if g.Add != nil {
		_ = g.Add[(g.Rows-1)*g.LDC+width-1]
	}
	if s == Plain {
		plainGemm(g)
		return
	}
	args := gemmArgs{
		k: g.K, blocks: g.Rows / t.Rows, a: &g.A[0], b: &g.B[0], ldb: 4 * g.LDB,
		c: &g.C[0], ldc: 4 * g.LDC, bias: &g.Bias[0], lo: g.Lo, hi: g.Hi,
	}
	if g.Add != nil {
		args.add = &g.Add[0]
	}
	asmGemm(s, g.Vecs, &args)
}

func plainGemm(g *Gemm) {
	for r0 := 0; r0 < g.Rows; r0 += 4 {
		var acc [4][4]float32
		for r := range acc {
			bias := g.Bias[r0+r]
			acc[r] = [4]float32{bias, bias, bias, bias}
		}
		a := g.A[r0*g.K : (r0+4)*g.K]
		for k := range g.K {
			b := (*[4]float32)(g.B[k*g.LDB:])
			col := (*[4]float32)(a[4*k:])
			for r := range acc {
				w := col[r]
				acc[r][0] += w * b[0]
				acc[r][1] += w * b[1]
				acc[r][2] += w * b[2]
				acc[r][3] += w * b[3]
			}
		}
		for r := range acc {
			at := (r0 + r) * g.LDC
			for i, v := range acc[r] {
				if g.Add != nil {
					v += g.Add[at+i]
				}
				g.C[at+i] = min(max(v, g.Lo), g.Hi)
			}
		}
	}
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
