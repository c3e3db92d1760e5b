package builtin

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
	"primespark/shared/tensor"
)

// choice is a model of two branches: double what is behind a convolution or, in a branch
// with one inside, negate it or take its square. Branches use names of their own twice,
// and tensors of the graph around them.
func choice() *draft {
	inner := (&draft{}).node("If", in("second"), "r",
		"then_branch", (&draft{}).node("Neg", in("a"), "q").output("q"),
		"else_branch", (&draft{}).node("Mul", in("a", "a"), "q").output("q")).output("r")
	return (&draft{}).input("x", onnx.Float, 1, 3, 8, 8).input("first", onnx.Bool).input("second", onnx.Bool, 1).output("y").output("b").
		floats("w", 0.1, 4, 3, 3, 3).node("Conv", in("x", "w"), "a").node("Relu", in("a"), "b").
		node("If", in("first"), "z",
			"then_branch", (&draft{}).floats("two", 2, 1).node("Mul", in("a", "two"), "r").node("Relu", in("r"), "s").output("s"),
			"else_branch", inner).
		node("Sigmoid", in("z"), "y")
}

// run runs a model on tensors of floats, int64s and bools.
func run(t *testing.T, b Backend, d *draft, in ...any) ([]tensor.Tensor, error) {
	t.Helper()
	s, err := b.LoadBytes(t.Context(), d.file())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var tensors []tensor.Tensor
	for i, spec := range s.Inputs() {
		x, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		switch v := in[i].(type) {
		case []float32:
			copy(x.Float32s(), v)
		case []int64:
			copy(x.Int64s(), v)
		case bool:
			x.Data[0] = byte(truth(v))
		}
		tensors = append(tensors, x)
	}
	out := outputs(t, s)
	return out, s.Infer(t.Context(), tensors, out)
}

func TestIf(t *testing.T) {
	x := make([]float32, 3*8*8)
	for i := range x {
		x[i] = formula(i)
	}
	sigmoid := curves["Sigmoid"]
	for _, set := range kernel.Sets() {
		for _, test := range []struct {
			first, second bool
			want          func(a float64) float64
		}{
			{true, false, func(a float64) float64 { return sigmoid(max(0, 2*a)) }},
			{false, true, func(a float64) float64 { return sigmoid(-a) }},
			{false, false, func(a float64) float64 { return sigmoid(a * a) }},
		} {
			out, err := run(t, Backend{Threads: 2, Kernels: &set}, choice(), x, test.first, test.second)
			if err != nil {
				t.Fatal(err)
			}
			y, b := out[0].Float32s(), out[1].Float32s()
			positive := 0
			for i := range y {
				if b[i] == 0 {
					continue // a is negative, and not to be seen
				}
				positive++
				if want := test.want(float64(b[i])); !near(float64(y[i]), want) {
					t.Fatalf("%v: %v and %v: element %d is %v, want %v", set, test.first, test.second, i, y[i], want)
				}
			}
			if positive < 10 {
				t.Fatal("the convolution gives nothing to compare")
			}
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }

// TestIfKnown takes the one branch that a constant condition names, whatever the other is.
func TestIfKnown(t *testing.T) {
	d := (&draft{}).input("x", onnx.Float, -1).output("y").node("Shape", in("x"), "s").ints("three", 3).node("Equal", in("s", "three"), "c").
		node("If", in("c"), "y",
			"then_branch", (&draft{}).node("Neg", in("x"), "r").output("r"),
			"else_branch", (&draft{}).node("Unknown", in("x"), "r").output("r"))
	out, err := run(t, Backend{Shapes: map[string][]int{"x": {3}}}, d, []float32{1, 2, 3})
	if err != nil || !slices.Equal(out[0].Float32s(), []float32{-1, -2, -3}) {
		t.Errorf("%v and %v", out, err)
	}
	_, err = Backend{Shapes: map[string][]int{"x": {4}}}.LoadBytes(t.Context(), d.file())
	if err == nil || !strings.Contains(err.Error(), "else_branch: node 0 (Unknown") {
		t.Errorf("with an operator that there is not: %v", err)
	}
}

// TestIfUnfit loads a model of which one branch cannot work on the shapes there are.
func TestIfUnfit(t *testing.T) {
	d := (&draft{}).input("x", onnx.Float, 4).input("c", onnx.Bool).output("y").floats("w", 1, 3).
		node("If", in("c"), "y",
			"then_branch", (&draft{}).node("Neg", in("x"), "p").node("Add", in("p", "w"), "r").output("r"),
			"else_branch", (&draft{}).node("Abs", in("x"), "r").output("r"))
	out, err := run(t, Backend{}, d, []float32{-1, 2, -3, 4}, false)
	if err != nil || !slices.Equal(out[0].Float32s(), []float32{1, 2, 3, 4}) {
		t.Errorf("%v and %v", out, err)
	}
	_, err = run(t, Backend{}, d, []float32{-1, 2, -3, 4}, true)
	if err == nil || !strings.Contains(err.Error(), "then_branch: node 1 (Add") || !strings.Contains(err.Error(), "do not broadcast") {
		t.Errorf("the branch that cannot work: %v", err)
	}
}

// TestIfRefused loads branches that must be refused.
func TestIfRefused(t *testing.T) {
	model := func(then, other *draft) *draft {
		return (&draft{}).input("x", onnx.Float, 4).input("c", onnx.Bool).output("y").node("If", in("c"), "y", "then_branch", then, "else_branch", other)
	}
	neg := func() *draft { return (&draft{}).node("Neg", in("x"), "r").output("r") }
	for name, test := range map[string]struct {
		model *draft
		want  string
	}{
		"shapes":   {model(neg(), (&draft{}).node("ReduceSum", in("x"), "r").output("r")), "output 0 is float [4] in one branch and float [1] in the other"},
		"operator": {model(neg(), (&draft{}).node("Unknown", in("x"), "r").output("r")), "operator Unknown is not supported"},
		"both":     {model(neg().output("q"), (&draft{}).output("nothing")), ""},
		"neither":  {model((&draft{}).output("nothing"), (&draft{}).output("nothing")), `nothing gives "nothing"`},
		"none":     {(&draft{}).input("c", onnx.Bool).output("y").node("If", in("c"), "y"), "no then_branch"},
		"leak":     {model(neg(), neg()).node("Neg", in("r"), "z"), `nothing before it gives input 0, "r"`},
		"float":    {(&draft{}).input("c", onnx.Float).output("y").node("If", in("c"), "y", "then_branch", neg(), "else_branch", neg()), "a condition of type float"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Backend{}.LoadBytes(t.Context(), test.model.file())
			if err == nil != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestBatch holds a batch of three to three inferences of one.
func TestBatch(t *testing.T) {
	for _, set := range kernel.Sets() {
		for _, threads := range []int{1, 3} {
			b := Backend{Threads: threads, Kernels: &set}
			one, in1, out1 := open(t, b, network().file(), reference{Scale: 1})
			b.Shapes = map[string][]int{"x": {3, 3, 8, 8}}
			all, in3, out3 := open(t, b, network().file(), reference{Scale: 1})
			if !slices.Equal(out3[0].Shape, []int{3, 12, 8, 8}) {
				t.Fatalf("output of shape %v", out3[0].Shape)
			}
			if err := all.Infer(t.Context(), in3, out3); err != nil {
				t.Fatal(err)
			}
			size := len(out1[0].Float32s())
			for i := range 3 {
				copy(in1[0].Data, in3[0].Data[i*len(in1[0].Data):])
				if err := one.Infer(t.Context(), in1, out1); err != nil {
					t.Fatal(err)
				}
				for j, v := range out1[0].Float32s() {
					if got := out3[0].Float32s()[i*size+j]; !near(float64(got), float64(v)) {
						t.Fatalf("%v: element %d of image %d is %v in a batch, and %v alone", set, j, i, got, v)
					}
				}
			}
		}
	}
}

// TestBind closes open dimensions, and refuses what the file does not leave open.
func TestBind(t *testing.T) {
	for name, test := range map[string]struct {
		dims  []onnx.Dim
		asked []int
		want  []int
		error string
	}{
		"fixed":         {[]onnx.Dim{2, 3}, nil, []int{2, 3}, ""},
		"batch of one":  {[]onnx.Dim{-1, 3}, nil, []int{1, 3}, ""},
		"batch of four": {[]onnx.Dim{-1, 3}, []int{4, 3}, []int{4, 3}, ""},
		"size":          {[]onnx.Dim{-1, 3, -1, -1}, []int{1, 3, 320, 256}, []int{1, 3, 320, 256}, ""},
		"scalar":        {nil, []int{}, []int{}, ""},
		"same":          {[]onnx.Dim{2, 3}, []int{2, 3}, []int{2, 3}, ""},
		"open":          {[]onnx.Dim{1, -1}, nil, nil, "dimension 1 is open or 0; give the input's shape in the manifest"},
		"zero":          {[]onnx.Dim{1, -1}, []int{1, 0}, nil, "dimension 1 is open or 0"},
		"other":         {[]onnx.Dim{-1, 3}, []int{1, 4}, nil, "dimension 1 is 3 in the file, and the shape asked for is [1 4]"},
		"rank":          {[]onnx.Dim{-1, 3}, []int{1}, nil, "it has 2 dimensions"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := bind(test.dims, test.asked)
			if !slices.Equal(got, test.want) || err == nil != (test.error == "") || err != nil && !strings.Contains(err.Error(), test.error) {
				t.Errorf("%v and %v, want %v and %q", got, err, test.want, test.error)
			}
		})
	}
}

// TestScalar gives a scalar of the file as the one element that a manifest can speak of.
func TestScalar(t *testing.T) {
	d := (&draft{}).input("x", onnx.Float, -1).input("s", onnx.Float).output("y").node("Mul", in("x", "s"), "y")
	out, err := run(t, Backend{Shapes: map[string][]int{"x": {2}, "s": {1}}}, d, []float32{1, 2}, []float32{3})
	if err != nil || !slices.Equal(out[0].Float32s(), []float32{3, 6}) {
		t.Errorf("%v and %v", out, err)
	}
}

// TestSlow refuses a model whose loading does not end in time.
func TestSlow(t *testing.T) {
	_, err := Backend{Time: 1}.LoadBytes(t.Context(), network().file())
	if !errors.Is(err, errSlow) {
		t.Errorf("error %v, want %v", err, errSlow)
	}
}
