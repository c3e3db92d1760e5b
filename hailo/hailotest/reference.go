package hailotest

import (
	"encoding/binary"
	"math"

	"primespark/hailo/hef"
)

// Boxes is what the double finds in an image of a detector: for each class k the
// corners of what is painted with 255−k in the first channel, in the layout that
// HailoRT gives boxes in. It is written apart from the double's own.
func Boxes(in hef.Stream, n hef.NMS, image []byte) []float32 {
	type box struct{ x0, y0, x1, y1 int }
	found := map[byte]box{}
	for i := 0; i < len(image); i += in.Features {
		x, y := i/in.Features%in.Width, i/in.Features/in.Width
		b, ok := found[image[i]]
		if !ok {
			b = box{x, y, x, y}
		}
		found[image[i]] = box{min(b.x0, x), min(b.y0, y), max(b.x1, x+1), max(b.y1, y+1)}
	}
	var out []float32
	for k := range n.Classes {
		b, ok := found[byte(255-k)]
		if !ok {
			out = append(out, 0)
			continue
		}
		h, w := float32(in.Height), float32(in.Width)
		out = append(out, 1, float32(b.y0)/h, float32(b.x0)/w, float32(b.y1)/h, float32(b.x1)/w, 0.9)
	}
	return out
}

// Means is what the double makes of an input for one output: the mean of each of
// as many pieces as the output has elements, then dequantized.
func Means(out hef.Stream, input []byte) []float32 {
	n := out.Height * out.Width * out.Features
	values := make([]float32, n)
	for i := range n {
		begin, end := i*len(input)/n, (i+1)*len(input)/n
		sum, count := 0, max(1, end-begin)
		for _, b := range input[begin : begin+count] {
			sum += int(b)
		}
		values[i] = (float32(sum/count) - float32(out.ZeroPoint)) * float32(out.Scale)
	}
	return values
}

// Floats reads float32 out of an arena.
func Floats(b []byte) []float32 {
	f := make([]float32, len(b)/4)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return f
}
