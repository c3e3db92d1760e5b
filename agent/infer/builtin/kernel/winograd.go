package kernel

// TilePlanes is the number of products that Winograd's way makes of a tile: 36 take the place of the
// 144 multiplications of 4 by 4 places with a filter of 3 by 3 (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", F(4×4, 3×3)).
const TilePlanes = 36

// Tiles are one row of tiles of a channel, on their way into the products (TilesIn) or out of them
// (TilesOut). Aside has TilePlanes vectors for the kernels' own use.
type Tiles struct {
	Vecs     int // vectors of tiles
	Src, Dst []float32
	Step     int // from one plane of factors or products to the next
	Aside    []float32

	// Of TilesIn: where the 6×6 elements of the first tile stand in Src, as Depth has it.
	Offs   []int
	MaxOff int

	// Of TilesOut.
	DstStep      int // from one of the four rows of places to the next
	Bias, Lo, Hi float32
}

type tilesArgs struct {
	n                      int
	src, dst               *float32
	offs                   *int
	aside                  *float32
	step, step6, dstStep   int // bytes
	two, four, five, eight float32
	bias, lo, hi           float32
	_                      float32
}

// TilesIn works out the factors of the tiles: Bᵀ d B of each.
func (s Set) TilesIn(t *Tiles) {
	width := t.Vecs * s.Tile().Lanes
	if t.Vecs < 1 || t.Step < 0 || len(t.Offs) != TilePlanes {
		panic("kernel: malformed tiles")
	}
	need(len(t.Src), t.MaxOff+width)
	need(len(t.Dst), (TilePlanes-1)*t.Step+width)
	need(len(t.Aside), TilePlanes*s.Tile().Lanes)
	if s == Plain {
		plainTilesIn(t, width)
		return
	}
	asmTilesIn(s, &tilesArgs{
		n: t.Vecs, src: &t.Src[0], dst: &t.Dst[0], offs: &t.Offs[0], aside: &t.Aside[0], step: 4 * t.Step,
		two: 2, four: 4, five: 5, eight: 8,
	})
}

// TilesOut works out the places of the tiles, min(max(Aᵀ m A + Bias, Lo), Hi): four rows, in
// which those of a tile stand side by side.
func (s Set) TilesOut(t *Tiles) {
	width := t.Vecs * s.Tile().Lanes
	if t.Vecs < 1 || t.Step < 0 || t.DstStep < 0 {
		panic("kernel: malformed tiles")
	}
	need(len(t.Src), (TilePlanes-1)*t.Step+width)
	need(len(t.Dst), 3*t.DstStep+4*width)
	need(len(t.Aside), TilePlanes*s.Tile().Lanes)
	if s == Plain {
		plainTilesOut(t, width)
		return
	}
	asmTilesOut(s, &tilesArgs{
		n: t.Vecs, src: &t.Src[0], dst: &t.Dst[0], aside: &t.Aside[0], step: 4 * t.Step, step6: 24 * t.Step, dstStep: 4 * t.DstStep,
		two: 2, four: 4, five: 5, eight: 8, bias: t.Bias, lo: t.Lo, hi: t.Hi,
	})
}

func plainTilesIn(t *Tiles, width int) {
	for at := range width {
		var d [TilePlanes]float32
		for i, off := range t.Offs {
			d[i] = t.Src[off/4+at]
		}
		for j := range 6 {
			tileIn(d[j:], 6)
		}
		for i := range 6 {
			tileIn(d[6*i:], 1)
		}
		for i, v := range d {
			t.Dst[i*t.Step+at] = v
		}
	}
}

// tileIn works on six elements that stand step apart.
func tileIn(d []float32, step int) {
	d0, d1, d2, d3, d4, d5 := d[0], d[step], d[2*step], d[3*step], d[4*step], d[5*step]
	d[0] = 4*d0 - 5*d2 + d4
	d[step] = d4 - 4*d2 + (d3 - 4*d1)
	d[2*step] = d4 - 4*d2 - (d3 - 4*d1)
	d[3*step] = d4 - d2 + 2*(d3-d1)
	d[4*step] = d4 - d2 - 2*(d3-d1)
	d[5*step] = 4*d1 - 5*d3 + d5
}

func plainTilesOut(t *Tiles, width int) {
	for at := range width {
		var m [TilePlanes]float32
		for i := range m {
			m[i] = t.Src[i*t.Step+at]
		}
		for j := range 6 {
			tileOut(m[j:], 6)
		}
		for i := range 4 {
			tileOut(m[6*i:], 1)
			for j, v := range m[6*i : 6*i+4] {
				t.Dst[i*t.DstStep+4*at+j] = min(max(v+t.Bias, t.Lo), t.Hi)
			}
		}
	}
}

// tileOut puts four results in place of the first of six products, step apart.
func tileOut(m []float32, step int) {
	m0, m1, m2, m3, m4, m5 := m[0], m[step], m[2*step], m[3*step], m[4*step], m[5*step]
	m[0] = m0 + m1 + m2 + m3 + m4
	m[step] = m1 - m2 + 2*(m3-m4)
	m[2*step] = m1 + m2 + 4*(m3+m4)
	m[3*step] = m1 - m2 + 8*(m3-m4) + m5
}

// TileFilter turns a filter of 3 by 3 into its factors, G g Gᵀ.
func TileFilter(g []float32) (u [TilePlanes]float32) {
	var half [6][3]float64
	for j := range 3 {
		for i, v := range tileFilter(float64(g[j]), float64(g[3+j]), float64(g[6+j])) {
			half[i][j] = v
		}
	}
	for i, h := range half {
		for j, v := range tileFilter(h[0], h[1], h[2]) {
			u[6*i+j] = float32(v)
		}
	}
	return u
}

func tileFilter(g0, g1, g2 float64) [6]float64 {
	return [6]float64{
		g0 / 4, -(g0 + g1 + g2) / 6, -(g0 - g1 + g2) / 6,
		g0/24 + g1/12 + g2/6, g0/24 - g1/12 + g2/6, g2,
	}
}
