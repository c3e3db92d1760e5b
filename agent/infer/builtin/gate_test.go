package builtin

import (
	"testing"

	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// TestGates holds arithmetic with constants, which is put into the nodes before it, to the same
// with numbers that are only known when the model runs. Rest is how many nodes are left.
func TestGates(t *testing.T) {
	type line struct {
		op, a, b string // "k" followed by a name is a number
	}
	numbers := map[string]float32{"k3": 3, "k6": 6, "k2": 2, "kminus": -1.5, "kzero": 0}
	hardSwish := []line{{"Add", "c", "k3"}, {"Clip", "0", ""}, {"Mul", "c", "1"}, {"Div", "2", "k6"}}
	for name, test := range map[string]struct {
		lines []line
		rest  int
	}{
		"hard swish":                {hardSwish, 1},
		"scaled and shifted":        {append(hardSwish[:4:4], line{"Mul", "3", "k2"}, line{"Add", "kminus", "4"}, line{"Mul", "5", "k3"}), 1},
		"a gate divided before":     {[]line{{"Add", "k3", "c"}, {"Clip", "0", ""}, {"Div", "1", "k6"}, {"Mul", "2", "c"}}, 1},
		"a gate from the other end": {[]line{{"Sub", "k3", "c"}, {"Clip", "0", ""}, {"Mul", "1", "c"}}, 1},
		"turned round":              {append(hardSwish[:4:4], line{"Mul", "3", "kminus"}), 2},
		"turned before the clamp":   {[]line{{"Clip", "c", ""}, {"Mul", "0", "kminus"}, {"Mul", "1", "c"}}, 4},
		"no clamp":                  {[]line{{"Add", "c", "k3"}, {"Mul", "0", "c"}}, 3},
		"of another number":         {[]line{{"Add", "x", "k3"}, {"Clip", "0", ""}, {"Mul", "1", "c"}}, 4},
		"used twice":                {[]line{{"Add", "c", "k3"}, {"Clip", "0", ""}, {"Mul", "1", "c"}, {"Add", "2", "1"}}, 5},
		"factors of a convolution":  {[]line{{"Mul", "c", "k2"}, {"Add", "0", "k3"}, {"Div", "1", "kminus"}, {"Relu", "2", ""}}, 1},
		"divided by nothing":        {[]line{{"Div", "c", "kzero"}}, 2},
		"divides":                   {[]line{{"Div", "k3", "c"}}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			x, w := make([]float32, 2*5*7), make([]float32, 4)
			for i := range x {
				x[i] = 6 * formula(i+1)
			}
			for i := range w {
				w[i] = formula(3*i + 1)
			}
			// model is the graph; its numbers are inputs unless they are constant.
			model := func(constant bool) (*draft, []any) {
				d := (&draft{}).input("x", onnx.Float, 1, 2, 5, 7).constant("w", w, 2, 2, 1, 1).node("Conv", in("x", "w"), "c")
				given := []any{x}
				used := map[string]bool{}
				for i, l := range test.lines {
					out := string(rune('0' + i))
					if i == len(test.lines)-1 {
						d.output("y")
						out = "y"
					}
					if l.op == "Clip" {
						d.floats("low"+out, 0).floats("high"+out, 6).node("Clip", in(l.a, "low"+out, "high"+out), out)
						continue
					}
					operands := in(l.a)
					if l.b != "" {
						operands = in(l.a, l.b)
					}
					for _, o := range operands {
						if v, ok := numbers[o]; ok && !used[o] {
							used[o] = true
							if constant {
								d.floats(o, v, 1)
							} else {
								d.input(o, onnx.Float, 1)
								given = append(given, []float32{v})
							}
						}
					}
					d.node(l.op, operands, out)
				}
				return d, given
			}
			for _, set := range kernel.Sets() {
				b := Backend{Threads: 1, Kernels: &set}
				d, given := model(true)
				got, err := run(t, b, d, given...)
				if err != nil {
					t.Fatal(err)
				}
				s, err := b.LoadBytes(t.Context(), d.file())
				if err != nil {
					t.Fatal(err)
				}
				if n := s.Stats().Nodes; n != test.rest {
					t.Errorf("%d nodes are left, want %d", n, test.rest)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				d, given = model(false)
				want, err := run(t, b, d, given...)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range want[0].Float32s() {
					if g := got[0].Float32s()[i]; g != v && !near(float64(g), float64(v)) {
						t.Fatalf("%v: element %d is %v, want %v", set, i, g, v)
					}
				}
			}
		})
	}
}
