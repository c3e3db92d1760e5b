package builtin

import (
	"slices"
	"testing"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// TestSpread holds transposed convolutions that are worked out as a matrix product to
// those that are not, which have weights that are no constants.
func TestSpread(t *testing.T) {
	for name, test := range map[string]struct {
		image, weights []int
		attrs          []any
	}{
		"upsampling": {[]int{1, 12, 9, 7}, []int{12, 8, 2, 2}, []any{"strides", []int{2, 2}}},
		"one":        {[]int{1, 3, 20, 1}, []int{3, 1, 1, 1}, nil},
		"overlap":    {[]int{2, 4, 5, 6}, []int{4, 3, 4, 3}, []any{"strides", []int{2, 1}, "pads", []int{1, 2, 0, 1}}},
		"groups":     {[]int{3, 6, 4, 5}, []int{6, 2, 3, 3}, []any{"group", 3, "strides", []int{1, 2}, "output_padding", []int{0, 1}}},
		"dilation":   {[]int{1, 2, 5, 5}, []int{2, 5, 3, 3}, []any{"dilations", []int{2, 3}, "pads", []int{2, 3, 1, 2}, "strides", []int{3, 2}}},
		"wide":       {[]int{1, 2, 3, 70}, []int{2, 9, 2, 8}, []any{"strides", []int{2, 4}, "pads", []int{0, 9, 0, 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := make([]float32, product(test.weights))
			for i := range w {
				w[i] = formula(7*i + 1)
			}
			x := make([]float32, product(test.image))
			for i := range x {
				x[i] = formula(i)
			}
			for _, set := range kernel.Sets() {
				model := func() *draft { return (&draft{}).input("x", onnx.Float, test.image...).output("y") }
				b := Backend{Threads: 2, Kernels: &set}
				fast, err := run(t, b, model().constant("w", w, test.weights...).node("ConvTranspose", in("x", "w"), "y", test.attrs...), x)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := run(t, b, model().input("w", onnx.Float, test.weights...).node("ConvTranspose", in("x", "w"), "y", test.attrs...), x, w)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(fast[0].Shape, plain[0].Shape) {
					t.Fatalf("shapes %v and %v", fast[0].Shape, plain[0].Shape)
				}
				for i, v := range plain[0].Float32s() {
					if got := fast[0].Float32s()[i]; !near(float64(got), float64(v)) {
						t.Fatalf("%v: element %d is %v, want %v", set, i, got, v)
					}
				}
			}
		})
	}
}
