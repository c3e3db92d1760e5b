package models_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// doubler gives twice its input, row by row, in 10 ms a run of any size.
func doubler() *infertest.Wide {
	return &infertest.Wide{Fake: infertest.Fake{
		Inputs:  []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{1, 2}}},
		Outputs: []tensor.Spec{{Name: "y", Type: tensor.Float32, Shape: []int{1, 2}}},
		Cost:    10 * time.Millisecond,
		Answer: func(in, out []tensor.Tensor) error {
			for i, v := range in[0].Float32s() {
				out[0].Float32s()[i] = 2 * v
			}
			return nil
		},
	}}
}

// double is a package for it, whose shapes begin with first.
func double(batching string, first int) models.Files {
	return models.Files{"net.fake": []byte(infertest.Model), "model.yaml": fmt.Appendf(nil, `apiVersion: edge/v1
kind: Model
name: double
variants: [{engine: fake, file: net.fake, sha256: %x}]
inputs: [{name: x, datatype: FP32, shape: [%d, 2]}]
outputs: [{name: y, datatype: FP32, shape: [%d, 2]}]
%s
`, sha256.Sum256([]byte(infertest.Model)), first, first, batching)}
}

// doubles asks for so many rows at a time and checks the answer.
func doubles(t *testing.T, r *models.Registry, from float32, rows int) infer.Response {
	t.Helper()
	in := make([]float32, 2*rows)
	for i := range in {
		in[i] = from + float32(i)
	}
	answer, err := r.Infer(t.Context(), "double", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromFloat32s("x", in, rows, 2)}})
	if err != nil {
		t.Error(err)
		return answer
	}
	for i, v := range answer.Outputs[0].Float32s() {
		if v != 2*in[i] {
			t.Errorf("the answer to %v is %v", in, answer.Outputs[0].Float32s())
			break
		}
	}
	if got := answer.Outputs[0].Shape; len(got) != 2 || got[0] != rows {
		t.Errorf("the answer has shape %v, want %d rows", got, rows)
	}
	return answer
}

// TestJoined has eight clients ask at once: one is answered alone, the others in one run,
// each with what is its own.
func TestJoined(t *testing.T) {
	for name, test := range map[string]struct {
		files models.Files
		runs  map[int]int // answers by the size of their run
		took  time.Duration
	}{
		"by itself":     {double("", 1), map[int]int{1: 8}, 80 * time.Millisecond},
		"all sizes":     {double("batching: {}", 1), map[int]int{1: 1, 7: 7}, 20 * time.Millisecond},
		"smaller sizes": {double("batching: {max: 4, preferred: [2, 4]}", 1), map[int]int{1: 1, 3: 3, 4: 4}, 30 * time.Millisecond},
		"fixed size":    {double("batching: {}", 4), map[int]int{1: 1, 3: 3, 4: 4}, 30 * time.Millisecond},
		"with a delay":  {double("batching: {delay: 5ms}", 1), map[int]int{8: 8}, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := started(t, models.Config{Backends: []infer.Backend{doubler()}, Embedded: map[string]models.Files{"double": test.files}})
				begin := time.Now()
				var wg sync.WaitGroup
				var mu sync.Mutex
				runs, first := map[int]int{}, 0
				for i := range 8 {
					wg.Go(func() {
						answer := doubles(t, r, float32(10*i), 1)
						mu.Lock()
						defer mu.Unlock()
						runs[answer.Run.Size]++
						if answer.Run.First {
							first++
						}
						if answer.Timing.Infer != 10*time.Millisecond {
							t.Errorf("the engine took %v", answer.Timing.Infer)
						}
					})
					if i == 0 {
						synctest.Wait() // it has the engine before the others come
					}
				}
				wg.Wait()
				if fmt.Sprint(runs) != fmt.Sprint(test.runs) || time.Since(begin) != test.took {
					t.Errorf("answers by size of run are %v after %v, want %v after %v", runs, time.Since(begin), test.runs, test.took)
				}
				want := 0
				for size, answers := range test.runs {
					want += answers / size
				}
				if first != want {
					t.Errorf("%d runs were counted, want %d", first, want)
				}
			})
		})
	}
}

// TestSeveralInARequest takes as many inferences in one request as the manifest allows.
func TestSeveralInARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := started(t, models.Config{Backends: []infer.Backend{doubler()}, Embedded: map[string]models.Files{"double": double("batching: {max: 4}", 1)}})
		m, err := r.Metadata("double", "")
		if err != nil || m.Inputs[0].Shape[0] != -1 || m.Outputs[0].Shape[0] != -1 {
			t.Errorf("it is described as %+v, %v", m, err)
		}
		for rows := 1; rows <= 4; rows++ {
			if answer := doubles(t, r, 1, rows); answer.Run.Size != rows {
				t.Errorf("%d rows were a run of %d", rows, answer.Run.Size)
			}
		}
		for _, rows := range []int{0, 5} {
			in := tensor.FromFloat32s("x", make([]float32, 2*rows), rows, 2)
			if _, err := r.Infer(t.Context(), "double", "", infer.Request{Inputs: []tensor.Tensor{in}}); !problem.Is(err, problem.Invalid) {
				t.Errorf("%d rows: %v", rows, err)
			}
		}
	})
}

// TestNotJoined leaves requests alone where joining them would be wrong, or no quicker,
// and says why.
func TestNotJoined(t *testing.T) {
	mixes := doubler()
	mixes.Answer = func(in, out []tensor.Tensor) error {
		for i := range in[0].Float32s() {
			out[0].Float32s()[i] = 2 * in[0].Float32s()[0]
		}
		return nil
	}
	slow := doubler()
	slow.Cost = 0
	slow.Answer = func(in, out []tensor.Tensor) error {
		time.Sleep(time.Duration(in[0].Shape[0]) * 10 * time.Millisecond)
		return nil
	}
	for name, test := range map[string]struct {
		backend infer.Backend
		room    int64
		want    string
	}{
		"rows that are mixed":        {mixes, 0, "differs from what it gives alone"},
		"as long as one by one":      {slow, 0, "it takes 80ms, and 8 singly 80ms"},
		"an engine of fixed shapes":  {&doubler().Fake, 0, "takes models as their files are"},
		"no memory for another size": {doubler(), 1100, "not enough memory"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				r := started(t, models.Config{
					Backends: []infer.Backend{test.backend}, Memory: test.room, Log: slog.New(slog.NewTextHandler(&log, nil)),
					Embedded: map[string]models.Files{"double": double("batching: {}", 1)},
				})
				if s := r.Index()[0]; s.State != model.Ready {
					t.Fatalf("it is %+v", s)
				}
				if !strings.Contains(log.String(), test.want) {
					t.Errorf("the log does not say %q: %s", test.want, log.String())
				}
				if m, err := r.Metadata("double", ""); err != nil || m.Inputs[0].Shape[0] != 1 {
					t.Errorf("it is described as %+v, %v", m, err)
				}
			})
		})
	}
}

// TestUnloadWaitsForARun whose clients have all gone.
func TestUnloadWaitsForARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := doubler()
		stubborn := false // it does not end with its context
		engine.Cost = 0
		answer := engine.Answer
		engine.Answer = func(in, out []tensor.Tensor) error {
			if stubborn {
				time.Sleep(time.Second)
			} else {
				time.Sleep(10 * time.Millisecond)
			}
			return answer(in, out)
		}
		r := started(t, models.Config{Backends: []infer.Backend{engine}, Embedded: map[string]models.Files{"double": double("batching: {}", 1)}})
		stubborn = true
		var wg sync.WaitGroup
		for range 3 {
			ctx, cancel := contextFor(t)
			time.AfterFunc(1500*time.Millisecond, cancel)
			wg.Go(func() {
				in := tensor.FromFloat32s("x", make([]float32, 2), 1, 2)
				_, _ = r.Infer(ctx, "double", "", infer.Request{Inputs: []tensor.Tensor{in}}) // it may be cut off
			})
		}
		begin := time.Now()
		time.Sleep(1600 * time.Millisecond)
		wg.Wait()
		if err := r.Unload(t.Context(), "double"); err != nil || time.Since(begin) != 2*time.Second {
			t.Errorf("unloaded after %v: %v, want 2s", time.Since(begin), err)
		}
	})
}

// BenchmarkJoined is how much more a model gives whose weights are read once for all
// requests of a run: four layers of 1024² on the built-in engine, for 16 clients.
func BenchmarkJoined(b *testing.B) {
	file := layers(4, 1024)
	perSecond := func(b *testing.B, batching string) float64 {
		sum := sha256.Sum256(file)
		r := started(b, models.Config{Queue: 64, Backends: []infer.Backend{builtin.Backend{Threads: 1}}, Embedded: map[string]models.Files{"layers": {
			"net.onnx": file, "model.yaml": fmt.Appendf(nil, `apiVersion: edge/v1
kind: Model
name: layers
variants: [{engine: builtin, file: net.onnx, sha256: %x}]
inputs: [{name: x0, datatype: FP32, shape: [1, 1024]}]
outputs: [{name: x4, datatype: FP32, shape: [1, 1024]}]
%s
`, sum, batching),
		}}})
		in := tensor.FromFloat32s("x0", make([]float32, 1024), 1, 1024)
		begin := time.Now()
		var wg sync.WaitGroup
		const each = 50
		for range 16 {
			wg.Go(func() {
				for range each {
					if _, err := r.Infer(b.Context(), "layers", "", infer.Request{Inputs: []tensor.Tensor{in}}); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		return 16 * each / time.Since(begin).Seconds()
	}
	var alone, joined float64
	for b.Loop() {
		alone = max(alone, perSecond(b, ""))
		joined = max(joined, perSecond(b, "batching: {max: 16}"))
	}
	b.ReportMetric(alone, "alone/s")
	b.ReportMetric(joined, "joined/s")
	b.ReportMetric(joined/alone, "ratio")
}

// layers is an ONNX file of so many matrices of that size, one after the other, and an
// open first dimension.
func layers(count, width int) []byte {
	field := func(number int, body []byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, uint64(number<<3|2)), uint64(len(body))), body...)
	}
	text := func(number int, s string) []byte { return field(number, []byte(s)) }
	number := func(field, v int) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field<<3)), uint64(v))
	}
	value := func(name string) []byte {
		shape := bytes.Join([][]byte{field(1, text(2, "n")), field(1, number(1, width))}, nil)
		kind := field(1, append(number(1, 1), field(2, shape)...))
		return append(text(1, name), field(2, kind)...)
	}
	var graph []byte
	weights := make([]byte, 4*width*width)
	for i := range count {
		graph = append(graph, field(1, bytes.Join([][]byte{
			text(1, fmt.Sprint("x", i)), text(1, fmt.Sprint("w", i)), text(2, fmt.Sprint("x", i+1)), text(4, "MatMul"),
		}, nil))...)
		for k := range width * width {
			binary.LittleEndian.PutUint32(weights[4*k:], 0x3a000000|uint32(k*i)&0xffff)
		}
		graph = append(graph, field(5, bytes.Join([][]byte{
			number(1, width), number(1, width), number(2, 1), text(8, fmt.Sprint("w", i)), field(9, weights),
		}, nil))...)
	}
	graph = append(graph, text(2, "layers")...)
	graph = append(graph, field(11, value("x0"))...)
	graph = append(graph, field(12, value(fmt.Sprint("x", count)))...)
	return bytes.Join([][]byte{number(1, 7), field(7, graph), field(8, number(2, 13))}, nil)
}
