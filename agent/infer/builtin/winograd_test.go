package builtin

import (
	"math"
	"testing"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// TestWinograd holds convolutions that are worked out in tiles to those that are not, which have weights
// that are no constants. Strips is how many strips of tiles there are to be, 0 for what is not worth it.
func TestWinograd(t *testing.T) {
	for name, test := range map[string]struct {
		image  []int
		out    int
		attrs  []any
		strips int
	}{
		"one tile":           {[]int{1, 8, 4, 4}, 8, []any{"pads", []int{1, 1, 1, 1}}, 1},
		"whole tiles":        {[]int{1, 9, 16, 12}, 13, []any{"pads", []int{1, 1, 1, 1}}, 1},
		"cut tiles":          {[]int{1, 16, 15, 13}, 24, []any{"pads", []int{1, 1, 1, 1}}, 1},
		"no padding":         {[]int{1, 10, 20, 9}, 17, nil, 1},
		"uneven padding":     {[]int{1, 8, 11, 13}, 8, []any{"pads", []int{2, 0, 1, 3}}, 1},
		"much padding":       {[]int{1, 8, 3, 5}, 8, []any{"pads", []int{9, 0, 14, 20}}, 1},
		"strips":             {[]int{1, 12, 37, 70}, 16, []any{"pads", []int{1, 1, 1, 1}}, 4},
		"a strip of one row": {[]int{1, 8, 14, 270}, 9, []any{"pads", []int{1, 1, 1, 1}}, 4},
		"a batch":            {[]int{3, 8, 8, 8}, 11, []any{"pads", []int{1, 1, 1, 1}}, 3},
		"few channels":       {[]int{1, 7, 16, 16}, 8, []any{"pads", []int{1, 1, 1, 1}}, 0},
		"strides":            {[]int{1, 8, 16, 16}, 8, []any{"pads", []int{1, 1, 1, 1}, "strides", []int{1, 2}}, 0},
		"dilation":           {[]int{1, 8, 16, 16}, 8, []any{"dilations", []int{2, 1}}, 0},
		"mostly cut":         {[]int{1, 8, 7, 3}, 8, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := test.image[1]
			w, x := make([]float32, test.out*c*9), make([]float32, product(test.image))
			for i := range w {
				w[i] = formula(7*i + 1)
			}
			for i := range x {
				x[i] = formula(i)
			}
			bias := make([]float32, test.out)
			for i := range bias {
				bias[i] = formula(5 * i)
			}
			// Then a clamp, and a sum of it and another convolution, curved.
			model := func() *draft { return (&draft{}).input("x", onnx.Float, test.image...).output("y").output("a") }
			close := func(d *draft) *draft {
				d.constant("b", bias, test.out)
				return d.node("Conv", in("x", "w", "b"), "c", test.attrs...).node("Relu", in("c"), "a").
					node("Conv", in("x", "w"), "d", test.attrs...).node("Add", in("a", "d"), "e").
					node("Sigmoid", in("e"), "s").node("Mul", in("e", "s"), "y")
			}
			for _, set := range kernel.Sets() {
				b := Backend{Threads: 2, Kernels: &set}
				file := close(model().constant("w", w, test.out, c, 3, 3))
				s, err := b.LoadBytes(t.Context(), file.file())
				if err != nil {
					t.Fatal(err)
				}
				steps := len(s.steps)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if test.strips > 0 && steps != 4*test.strips {
					t.Errorf("%v: %d steps, want %d for two convolutions", set, steps, 4*test.strips)
				}
				if test.strips == 0 && steps > 4 {
					t.Errorf("%v: %d steps of a convolution that is not to be cut into tiles", set, steps)
				}
				tiles, err := run(t, b, file, x)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := run(t, b, close(model().input("w", onnx.Float, test.out, c, 3, 3)), x, w)
				if err != nil {
					t.Fatal(err)
				}
				for o := range plain {
					for i, v := range plain[o].Float32s() {
						// The factors of a tile are up to a hundred times what comes of them.
						if got := tiles[o].Float32s()[i]; math.Abs(float64(got-v)) > 2e-4 {
							t.Fatalf("%v: output %d: element %d is %v, want %v", set, o, i, got, v)
						}
					}
				}
			}
		})
	}
}
