package builtin

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"primespark/agent/infer/builtin/kernel"
	"primespark/shared/tensor"
)

// modelDir is where the networks of the tests are. They belong to others and are
// not committed here.
const modelDir = "../../../../shared/testdata/models"

// A reference is what ONNX Runtime 1.30 gave for a model, on the input that
// formula gives. Of each output it holds every step-th element.
type reference struct {
	Scale   float32          `json:"scale"`
	Shift   float32          `json:"shift"`
	Shapes  map[string][]int `json:"inputs"` // where the file leaves dimensions open
	Fill    map[string]int64 `json:"fill"`   // what the elements of some inputs are
	Outputs []struct {
		Name   string    `json:"name"`
		Shape  []int     `json:"shape"`
		Top    int       `json:"top"` // index of the largest element
		Max    float64   `json:"max"` // largest magnitude
		Step   int       `json:"step"`
		Sample []float64 `json:"sample"`
	} `json:"outputs"`
}

func references(t testing.TB) map[string]reference {
	t.Helper()
	b, err := os.ReadFile("testdata/references.json")
	if err != nil {
		t.Fatal(err)
	}
	var refs map[string]reference
	if err := json.Unmarshal(b, &refs); err != nil {
		t.Fatal(err)
	}
	return refs
}

// formula is element i of an input, before scale and shift: from -1 to 1 by a
// multiplicative hash, the same in every language.
func formula(i int) float32 { return float32((uint32(i)*2654435761)>>8%2001)/1000 - 1 }

// modelFile reads a network, or skips the test where there is none.
func modelFile(t testing.TB, name string) []byte {
	t.Helper()
	if fromNPM(name) {
		return npmModel(t, name)
	}
	b, err := os.ReadFile(filepath.Join(modelDir, name+".onnx"))
	if err != nil {
		t.Skip("needs the test models beside the checkout: ", err)
	}
	return b
}

// fromNPM tells the models that scripts/npm-models.sh fetches.
func fromNPM(name string) bool {
	return strings.HasPrefix(name, "ch_") || strings.HasPrefix(name, "silero_")
}

// npmModel reads a model out of npm packages.
func npmModel(t testing.TB, name string) []byte {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(cache, "prime-spark-models", name+".onnx"))
	if err != nil {
		needTool(t, "needs models of npm packages: run scripts/npm-models.sh")
	}
	return b
}

// open loads a model and makes its input by the formula.
func open(t testing.TB, b Backend, file []byte, ref reference) (s *Session, in, out []tensor.Tensor) {
	t.Helper()
	if ref.Shapes != nil {
		b.Shapes = ref.Shapes
	}
	s, err := b.LoadBytes(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for _, spec := range s.Inputs() {
		x, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
		if err != nil {
			t.Fatal(err)
		}
		if fill, ok := ref.Fill[spec.Name]; ok {
			for i := range x.Int64s() {
				x.Int64s()[i] = fill
			}
		} else {
			for i := range x.Float32s() {
				x.Float32s()[i] = formula(i)*ref.Scale + ref.Shift
			}
		}
		in = append(in, x)
	}
	return s, in, outputs(t, s)
}

// TestModels holds the engine to ONNX Runtime, with each set of kernels: no element
// further off than 1e-3 (of the magnitude where that is above 100), and the same on top.
func TestModels(t *testing.T) {
	// Plain Go is slow, and slower still under an emulator or the race detector.
	brief := testing.Short() || raceEnabled
	for name, ref := range references(t) {
		t.Run(name, func(t *testing.T) {
			file := modelFile(t, name)
			for _, set := range kernel.Sets() {
				if brief && set == kernel.Plain && name != "blazeface-front-128" && name != "silero_vad_v5" {
					continue
				}
				if raceEnabled && set != kernel.Plain && set != kernel.Best() {
					continue
				}
				for _, threads := range []int{1, 3} {
					if threads > 1 && (testing.Short() || set == kernel.Plain) || threads == 1 && raceEnabled && set != kernel.Plain {
						continue
					}
					s, in, out := open(t, Backend{Threads: threads, Kernels: &set}, file, ref)
					for again := range 2 { // the second time, with memory that has been used
						if again > 0 && (set == kernel.Plain || testing.Short() && s.Stats().MACs > 5e7) {
							break
						}
						if err := s.Infer(t.Context(), in, out); err != nil {
							t.Fatal(err)
						}
						compareModel(t, set, out, ref)
					}
					if threads == 1 {
						t.Logf("%v: %+v", set, s.Stats())
					}
				}
			}
		})
	}
}

func compareModel(t *testing.T, set kernel.Set, out []tensor.Tensor, ref reference) {
	t.Helper()
	for i, want := range ref.Outputs {
		got := out[i].Float32s()
		if out[i].Name != want.Name || !slices.Equal(out[i].Shape, want.Shape) {
			t.Fatalf("output %d is %q %v, want %q %v", i, out[i].Name, out[i].Shape, want.Name, want.Shape)
		}
		worst := 0.0
		for j, w := range want.Sample {
			worst = max(worst, math.Abs(float64(got[j*want.Step])-w))
		}
		if limit := 1e-3 * max(1, want.Max/100); worst > limit {
			t.Errorf("%v: output %q is off by %g, want at most %g", set, want.Name, worst, limit)
		}
		top := 0
		for j, v := range got {
			if v > got[top] {
				top = j
			}
		}
		if top != want.Top && got[top]-got[want.Top] > 1e-6 { // there may be several as large
			t.Errorf("%v: output %q is largest at %d, want %d", set, want.Name, top, want.Top)
		}
	}
}

// TestNoAllocations shows that an inference allocates nothing, with workers too.
func TestNoAllocations(t *testing.T) {
	for name, ref := range references(t) {
		t.Run(name, func(t *testing.T) {
			file := modelFile(t, name)
			workers, runs := []int{1, 2, 4}, 3
			if raceEnabled {
				workers, runs = []int{2}, 1
			}
			for _, threads := range workers {
				s, in, out := open(t, Backend{Threads: threads}, file, ref)
				if n := testing.AllocsPerRun(runs, func() {
					if err := s.Infer(t.Context(), in, out); err != nil {
						t.Fatal(err)
					}
				}); n != 0 {
					t.Errorf("%d workers: %v allocations for an inference", threads, n)
				}
			}
		})
	}
}

// BenchmarkModels measures an inference of each network on one worker, with each
// set of kernels.
func BenchmarkModels(b *testing.B) {
	for name, ref := range references(b) {
		file := modelFile(b, name)
		for _, set := range kernel.Sets() {
			b.Run(name+"/"+set.String(), func(b *testing.B) {
				s, in, out := open(b, Backend{Threads: 1, Kernels: &set}, file, ref)
				for b.Loop() {
					if err := s.Infer(b.Context(), in, out); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(s.Stats().MACs)/1e6/(b.Elapsed().Seconds()*1e3/float64(b.N)), "GMAC/s")
			})
		}
	}
}
