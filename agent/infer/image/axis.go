package image

import "math"

// Weights and sums are fixed point. A sample of 8 bits times a weight of each
// axis has 30 bits, and what leaves the filter keeps fracBits of them.
const (
	weightBits = 11
	fracBits   = 6
	full       = 255 << fracBits // the largest sample behind the filter
)

// An axis is a table for resampling along one dimension of a plane: output i is
// the sum of the samples from first[i] on, times the taps weights at i*taps.
// The weights of an output sum to 1<<weightBits.
type axis struct {
	first   []int32
	weights []int32
	taps    int
	lo, hi  int // the samples that are used at all: [lo, hi)
}

// make fills a with bilinear weights for n outputs spread over the samples from
// start to start+length, out of size. When the image shrinks the triangle
// widens, so that every sample counts and thin lines do not flicker. At an edge
// the samples that are there share the weight.
func (a *axis) make(size int, start, length float64, n int) {
	scale := length / float64(n)
	support := max(1, scale)
	// reach is which samples an output is made of: those with any weight at all.
	reach := func(i int) (center float64, lo, hi int) {
		center = start + (float64(i)+0.5)*scale - 0.5
		return center, max(0, int(math.Floor(center-support))+1), min(size-1, int(math.Ceil(center+support))-1)
	}
	a.taps = 1
	for i := range n {
		_, lo, hi := reach(i)
		a.taps = max(a.taps, hi-lo+1)
	}
	a.first = grow(a.first, n)
	a.weights = grow(a.weights, n*a.taps)
	a.lo, a.hi = size, 0
	for i := range n {
		center, lo, hi := reach(i)
		first := min(lo, size-a.taps)
		w := a.weights[i*a.taps : (i+1)*a.taps]
		clear(w)
		total := 0.0
		for s := lo; s <= hi; s++ {
			total += triangle(float64(s)-center, support)
		}
		sum, largest := int32(0), lo-first
		for s := lo; s <= hi; s++ {
			v := int32(math.Round(triangle(float64(s)-center, support) / total * (1 << weightBits)))
			w[s-first] = v
			sum += v
			if v > w[largest] {
				largest = s - first
			}
		}
		w[largest] += 1<<weightBits - sum // what rounding lost or won
		a.first[i] = int32(first)
		a.lo, a.hi = min(a.lo, first), max(a.hi, first+a.taps)
	}
}

func triangle(distance, support float64) float64 {
	return max(0, 1-math.Abs(distance)/support)
}

// grow returns a slice of n elements, in the memory of s if that is enough.
func grow[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}

// rows adds up the rows of a plane that make output row i, for the samples that
// columns uses. Rows are taken two at a time, which halves the traffic on acc.
func (a *axis) rows(acc []int32, p plane, i int, columns *axis) {
	from, to := columns.lo*p.step, columns.hi*p.step
	acc = acc[from:to]
	first, w := int(a.first[i]), a.weights[i*a.taps:(i+1)*a.taps]
	for w[0] == 0 { // some weight is not: they sum to more
		first, w = first+1, w[1:]
	}
	for w[len(w)-1] == 0 {
		w = w[:len(w)-1]
	}
	row := func(t int) []byte { return p.pix[(first+t)*p.stride+from:][:len(acc)] }
	if len(w) == 1 {
		one(acc, row(0), w[0])
		return
	}
	two(acc, row(0), row(1), w[0], w[1])
	t := 2
	for ; t+1 < len(w); t += 2 {
		addTwo(acc, row(t), row(t+1), w[t], w[t+1])
	}
	if t < len(w) {
		addTwo(acc, row(t), row(t), w[t], 0)
	}
}

func one(acc []int32, a []byte, wa int32) {
	a = a[:len(acc)]
	for x := range acc {
		acc[x] = wa * int32(a[x])
	}
}

func two(acc []int32, a, b []byte, wa, wb int32) {
	a, b = a[:len(acc)], b[:len(acc)]
	for x := range acc {
		acc[x] = wa*int32(a[x]) + wb*int32(b[x])
	}
}

func addTwo(acc []int32, a, b []byte, wa, wb int32) {
	a, b = a[:len(acc)], b[:len(acc)]
	for x := range acc {
		acc[x] += wa*int32(a[x]) + wb*int32(b[x])
	}
}

// columns makes a row of outputs from acc, of samples that stand alone. What a photo
// mostly needs has a loop of its own: as it is, twice as large, and up to half as large.
func (a *axis) columns(out, acc []int32) {
	const shift = 2*weightBits - fracBits
	first, w := a.first[:len(out)], a.weights
	switch a.taps {
	case 1:
		for i, at := range first {
			out[i] = acc[at] >> (weightBits - fracBits)
		}
	case 2:
		w = w[:2*len(first)]
		for i, at := range first {
			in, w := acc[at:at+2:at+2], w[2*i:2*i+2:2*i+2]
			out[i] = (w[0]*in[0] + w[1]*in[1]) >> shift
		}
	case 3:
		for i, at := range first {
			in, w := acc[at:at+3:at+3], w[3*i:3*i+3:3*i+3]
			out[i] = (w[0]*in[0] + w[1]*in[1] + w[2]*in[2]) >> shift
		}
	case 4:
		for i, at := range first {
			in, w := acc[at:at+4:at+4], w[4*i:4*i+4:4*i+4]
			out[i] = (w[0]*in[0] + w[1]*in[1] + w[2]*in[2] + w[3]*in[3]) >> shift
		}
	default:
		for i, at := range first {
			w := w[i*a.taps:][:a.taps]
			in := acc[at:][:len(w)]
			sum := int32(0)
			for t, v := range w {
				sum += v * in[t]
			}
			out[i] = sum >> shift
		}
	}
}

// columns4 is columns for samples of four bytes, of which it makes three rows.
func (a *axis) columns4(r, g, b, acc []int32) {
	g, b = g[:len(r)], b[:len(r)]
	for i := range r {
		first := 4 * int(a.first[i])
		w := a.weights[i*a.taps:][:a.taps]
		in := acc[first:][:4*len(w)]
		var sr, sg, sb int32
		for t, v := range w {
			s := in[4*t : 4*t+3 : 4*t+3]
			sr += v * s[0]
			sg += v * s[1]
			sb += v * s[2]
		}
		r[i], g[i], b[i] = sr>>(2*weightBits-fracBits), sg>>(2*weightBits-fracBits), sb>>(2*weightBits-fracBits)
	}
}
