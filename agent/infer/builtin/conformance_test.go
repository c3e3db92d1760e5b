package builtin

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/agent/infer/builtin/onnx"
	"primespark/shared/goldentest"
	"primespark/shared/tensor"
)

// nodeTests is where Debian's libonnx-testdata puts ONNX's own tests of single
// operators: a model each, with inputs and the outputs they must give.
const nodeTests = "/usr/share/libonnx-testdata/data/node"

// conformanceTable is what became of each test of version 1.12 of the package. It is
// written by -update, and reviewed: a line that changes from "pass" is an operator lost.
const conformanceTable = "conformance.txt"

// needTool skips a test that lacks something, and fails it in CI, where it is installed.
func needTool(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestConformance runs ONNX's tests of single operators: each either gives the
// right answer, or is refused when it is loaded.
func TestConformance(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(nodeTests, "test_*"))
	if err != nil || len(dirs) == 0 {
		needTool(t, "needs Debian's package libonnx-testdata")
	}
	passed := 0
	var table strings.Builder
	for _, dir := range dirs {
		name := strings.TrimPrefix(filepath.Base(dir), "test_")
		why, err := notHere[name], error(nil)
		if why == "" {
			why, err = conform(t, dir)
		}
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
			fmt.Fprintf(&table, "WRONG    %s\n", name)
		case why != "":
			fmt.Fprintf(&table, "refused  %s: %s\n", name, why)
		default:
			passed++
			fmt.Fprintf(&table, "pass     %s\n", name)
		}
	}
	t.Logf("%d tests passed of %d; the others were refused at load time", passed, len(dirs))
	got := fmt.Sprintf("%d of %d tests pass.\n\n%s", passed, len(dirs), table.String())
	goldentest.Compare(t, conformanceTable, got)
}

// notHere are tests whose answer depends on what ONNX leaves open.
var notHere = map[string]string{
	"resize_downsample_scales_linear_align_corners": "takes the result's length before it is rounded; ONNX Runtime does not",
}

// conform runs one test. why tells the reason for a refusal.
func conform(t *testing.T, dir string) (why string, err error) {
	file, err := os.ReadFile(filepath.Join(dir, "model.onnx"))
	if err != nil {
		return "", err
	}
	b := Backend{Threads: 2}
	s, err := b.LoadBytes(t.Context(), file)
	if err != nil {
		first := reason(err)
		// Shapes and the like are constants in real models, but inputs here.
		if s, err = b.open(t.Context(), fixed(t, dir, file)); err != nil {
			return first, nil
		}
	}
	defer s.Close()
	for set := 0; ; set++ {
		data := filepath.Join(dir, fmt.Sprintf("test_data_set_%d", set))
		if _, err := os.Stat(data); err != nil {
			return "", nil
		}
		in, err := testTensors(data, "input", s.Inputs())
		if err != nil {
			return "the test's inputs: " + err.Error(), nil
		}
		want, err := testTensors(data, "output", s.Outputs())
		if err != nil {
			return "", err
		}
		got := outputs(t, s)
		if err := s.Infer(t.Context(), in, got); err != nil {
			return "", err
		}
		for i := range got {
			if err := closeTo(got[i], want[i]); err != nil {
				return "", fmt.Errorf("output %d: %w", i, err)
			}
		}
	}
}

// fixed is the test's model with all inputs but the first as constants.
func fixed(t *testing.T, dir string, file []byte) *onnx.Model {
	m, err := onnx.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range m.Graph.Inputs {
		b, err := os.ReadFile(filepath.Join(dir, "test_data_set_0", fmt.Sprintf("input_%d.pb", i)))
		if i == 0 && len(m.Graph.Inputs) > 1 || err != nil {
			continue
		}
		c, err := onnx.ReadTensor(b)
		if err != nil || c.Type != in.Type {
			continue // a sequence, an optional, or a type that the test data cannot hold
		}
		c.Name = in.Name
		m.Graph.Inits = append(m.Graph.Inits, c)
	}
	return m
}

// reason shortens an error of Load to what the tests have in common.
func reason(err error) string {
	s := err.Error()
	if _, after, ok := strings.Cut(s, "): "); ok {
		return after
	}
	return s
}

// outputs makes tensors for a session's outputs.
func outputs(t testing.TB, s *Session) []tensor.Tensor {
	t.Helper()
	var out []tensor.Tensor
	for _, spec := range s.Outputs() {
		o, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, o)
	}
	return out
}

// testTensors reads the files input_0.pb and so on.
func testTensors(dir, kind string, specs []tensor.Spec) ([]tensor.Tensor, error) {
	var out []tensor.Tensor
	for i, spec := range specs {
		b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s_%d.pb", kind, i)))
		if err != nil {
			return nil, err
		}
		t, err := onnx.ReadTensor(b)
		if err != nil {
			return nil, err
		}
		if err := spec.Fits(elementType(t.Type), t.Shape); err != nil {
			return nil, err
		}
		v, err := (&compiler{options: options{memory: DefaultMemory}}).constant(t)
		if err != nil {
			return nil, err
		}
		o, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
		if err != nil {
			return nil, err
		}
		v.write(o.Data)
		out = append(out, o)
	}
	return out, nil
}

// numbers reads any tensor as floats.
func numbers(t tensor.Tensor) []float64 {
	for k, name := range map[onnx.Type]tensor.Type{
		onnx.Float: tensor.Float32, onnx.Float16: tensor.Float16, onnx.Int64: tensor.Int64, onnx.Int32: tensor.Int32,
		onnx.Int16: tensor.Int16, onnx.Int8: tensor.Int8, onnx.Uint8: tensor.Uint8, onnx.Uint16: tensor.Uint16,
		onnx.Uint32: tensor.Uint32, onnx.Bool: tensor.Bool, onnx.Double: tensor.Float64,
	} {
		if name != t.Type {
			continue
		}
		v := &value{typ: k, shape: t.Shape}
		v.alloc()
		v.read(t.Data)
		var out []float64
		for _, x := range v.f {
			out = append(out, float64(x))
		}
		for _, x := range v.i {
			out = append(out, float64(x))
		}
		return out
	}
	return nil
}

// closeTo compares two tensors to within 1e-3 of the wanted magnitude, as ONNX's own
// runner does.
func closeTo(got, want tensor.Tensor) error {
	g, w := numbers(got), numbers(want)
	for i := range w {
		if math.IsNaN(w[i]) && math.IsNaN(g[i]) || g[i] == w[i] {
			continue
		}
		if d := math.Abs(g[i] - w[i]); !(d <= 1e-5+1e-3*math.Abs(w[i])) {
			return fmt.Errorf("element %d is %v, want %v", i, g[i], w[i])
		}
	}
	return nil
}
