package kernel

// A Depth is a convolution of one channel with its own filter, row by row:
//
//	Dst[r*DstStep+i] = min(max(Bias + Σt W[t]*Src[r*SrcStep+Offs[t]+i], Lo), Hi)
//
// for Rows rows and Vecs vectors of i; what a row has too much is written over by
// the next row. Offs are in bytes; MaxOff is at least the largest, in floats.
type Depth struct {
	Offs             []int // byte offsets of the taps
	MaxOff           int
	W                []float32
	Src, Dst         []float32
	Rows, Vecs       int
	SrcStep, DstStep int
	Bias, Lo, Hi     float32
}

type depthArgs struct {
	taps             int
	offs             *int
	w, src, dst      *float32
	rows             int
	srcStep, dstStep int // bytes
	vecs             int
	bias, lo, hi     float32
}

// Depth works out some rows of one channel.
func (s Set) Depth(d *Depth) {
	if d.Rows < 1 || d.Vecs < 1 || d.SrcStep < 0 || d.DstStep < 0 || len(d.W) != len(d.Offs) || len(d.W) == 0 {
		panic("kernel: malformed depthwise convolution")
	}
	width := d.Vecs * s.Tile().Lanes
	need(len(d.Src), (d.Rows-1)*d.SrcStep+d.MaxOff+width)
	need(len(d.Dst), (d.Rows-1)*d.DstStep+width)
	if s == Plain {
		plainDepth(d, width)
		return
	}
	asmDepth(s, &depthArgs{
		taps: len(d.W), offs: &d.Offs[0], w: &d.W[0], src: &d.Src[0], dst: &d.Dst[0],
		rows: d.Rows, srcStep: 4 * d.SrcStep, dstStep: 4 * d.DstStep, vecs: d.Vecs,
		bias: d.Bias, lo: d.Lo, hi: d.Hi,
	})
}

func plainDepth(d *Depth, width int) {
	for r := range d.Rows {
		dst := d.Dst[r*d.DstStep:][:width]
		for i := range dst {
			dst[i] = d.Bias
		}
		for t, w := range d.W {
			for i, v := range d.Src[r*d.SrcStep+d.Offs[t]/4:][:width] {
				dst[i] += w * v
			}
		}
		for i, v := range dst {
			dst[i] = min(max(v, d.Lo), d.Hi)
		}
	}
}
