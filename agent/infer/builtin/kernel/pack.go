package kernel

// A Pack gathers a panel of B, Tile.Cols wide, out of an image: for each k and
// segment, Cols elements that stand Stride (1 or 2) apart, from
// Src[Offs[k]+Segs[i].Src] on, to Dst[k*Cols+Segs[i].Dst]. Segments stand in the
// order of Dst; what one has too much is written over by the next one, or the next k.
// Dst therefore needs 2*Cols spare elements, and Src as many beyond the last used. Plain Go writes what
// is wanted of a segment, its N elements, and no others.
type Pack struct {
	Stride int
	Src    []float32
	Offs   []int // byte offsets of the k
	MaxOff int   // at least the largest of Offs, in floats
	Segs   []Segment
	Dst    []float32
}

// A Segment is a run of elements of a panel that stand in one row of the image.
// Both offsets are in bytes. Segments may be of several panels: Dst then reaches beyond
// the K rows of the first.
type Segment struct{ Src, Dst, N int }

type packArgs struct {
	k     int
	src   *float32
	offs  *int
	segs  *Segment
	count int
	dst   *float32
}

// Pack gathers a panel.
func (s Set) Pack(p *Pack) {
	cols := s.Tile().Cols()
	last := p.Segs[len(p.Segs)-1]
	maxSrc := 0
	for _, g := range p.Segs {
		maxSrc = max(maxSrc, g.Src/4)
	}
	need(len(p.Src), p.MaxOff+maxSrc+p.Stride*cols)
	need(len(p.Dst), (len(p.Offs)-1)*cols+last.Dst/4+cols)
	if s == Plain {
		plainPack(p, cols)
		return
	}
	asmPack(s, p.Stride, &packArgs{len(p.Offs), &p.Src[0], &p.Offs[0], &p.Segs[0], len(p.Segs), &p.Dst[0]})
}

func plainPack(p *Pack, cols int) {
	for k, off := range p.Offs {
		for _, g := range p.Segs {
			dst, src := p.Dst[k*cols+g.Dst/4:][:g.N], p.Src[off/4+g.Src/4:]
			for i := range dst {
				dst[i] = src[i*p.Stride]
			}
		}
	}
}

// Rows are the two ends of a copy of Count rows of N elements.
type Rows struct {
	Count, N int
	Src      []float32
	SrcStep  int
	Dst      []float32
	Odd      []float32 // for Split
	DstStep  int
}

type rowsArgs struct {
	count, n int
	src      *float32
	srcStep  int // bytes
	dst, odd *float32
	dstStep  int // bytes
}

// Copy copies rows; it touches nothing outside of them.
func (s Set) Copy(r *Rows) {
	if !r.check(r.N) {
		return
	}
	if s == Plain {
		for i := range r.Count {
			copy(r.Dst[i*r.DstStep:][:r.N], r.Src[i*r.SrcStep:])
		}
		return
	}
	asmCopy(s, &rowsArgs{r.Count, r.N, &r.Src[0], 4 * r.SrcStep, &r.Dst[0], nil, 4 * r.DstStep})
}

// Split parts rows of 2*N elements: those at even places go to Dst, the others to Odd.
func (s Set) Split(r *Rows) {
	if !r.check(2 * r.N) {
		return
	}
	need(len(r.Odd), (r.Count-1)*r.DstStep+r.N)
	if s == Plain {
		for i := range r.Count {
			src := r.Src[i*r.SrcStep:][:2*r.N]
			even, odd := r.Dst[i*r.DstStep:][:r.N], r.Odd[i*r.DstStep:][:r.N]
			for j := range even {
				even[j], odd[j] = src[2*j], src[2*j+1]
			}
		}
		return
	}
	asmSplit(s, &rowsArgs{r.Count, r.N, &r.Src[0], 4 * r.SrcStep, &r.Dst[0], &r.Odd[0], 4 * r.DstStep})
}

// check panics for rows out of bounds, and reports whether there is work.
func (r *Rows) check(width int) bool {
	if r.Count <= 0 || r.N <= 0 {
		return false
	}
	if r.SrcStep < 0 || r.DstStep < 0 {
		panic("kernel: negative step between rows")
	}
	need(len(r.Src), (r.Count-1)*r.SrcStep+width)
	need(len(r.Dst), (r.Count-1)*r.DstStep+r.N)
	return true
}
