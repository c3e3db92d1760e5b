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
	width := d.check(s)
	need(len(d.W), len(d.Offs))
	if s == Plain {
		plainDepth(d, width)
		return
	}
	asmDepth(s, &depthArgs{
		taps: len(d.Offs), offs: &d.Offs[0], w: &d.W[0], src: &d.Src[0], dst: &d.Dst[0],
		rows: d.Rows, srcStep: 4 * d.SrcStep, dstStep: 4 * d.DstStep, vecs: d.Vecs,
		bias: d.Bias, lo: d.Lo, hi: d.Hi,
	})
}

// Peak works out the largest element of each window, and takes no more of d than its taps:
//
//	Dst[r*DstStep+i] = max over t of Src[r*SrcStep+Offs[t]+i]
func (s Set) Peak(d *Depth) {
	width := d.check(s)
	if s == Plain {
		plainPeak(d, width)
		return
	}
	asmPeak(s, &depthArgs{
		taps: len(d.Offs), offs: &d.Offs[0], src: &d.Src[0], dst: &d.Dst[0],
		rows: d.Rows, srcStep: 4 * d.SrcStep, dstStep: 4 * d.DstStep, vecs: d.Vecs,
	})
}

// check panics for what is malformed or too short, and returns the floats of a row.
func (d *Depth) check(s Set) int {
	if d.Rows < 1 || d.Vecs < 1 || d.SrcStep < 0 || d.DstStep < 0 || len(d.Offs) == 0 {
		panic("kernel: malformed depthwise convolution")
	}
	width := d.Vecs * s.Tile().Lanes
	need(len(d.Src), (d.Rows-1)*d.SrcStep+d.MaxOff+width)
	need(len(d.Dst), (d.Rows-1)*d.DstStep+width)
	return width
}

func plainPeak(d *Depth, width int) {
	for r := range d.Rows {
		dst := d.Dst[r*d.DstStep:][:width]
		for t, off := range d.Offs {
			src := d.Src[r*d.SrcStep+off/4:][:width]
			if t == 0 {
				copy(dst, src)
				continue
			}
			for i, v := range src {
				dst[i] = max(dst[i], v)
			}
		}
	}
}

func plainDepth(d *Depth, width int) {
	for r := range d.Rows {
		dst := d.Dst[r*d.DstStep:][:width]
		for i := range dst {
			dst[i] = d.Bias
		}
		for t, w := range d.W[:len(d.Offs)] {
			for i, v := range d.Src[r*d.SrcStep+d.Offs[t]/4:][:width] {
				dst[i] += w * v
			}
		}
		for i, v := range dst {
			dst[i] = min(max(v, d.Lo), d.Hi)
		}
	}
}
