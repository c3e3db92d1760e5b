package builtin

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
	"primespark/agent/infer/infertest"
	"primespark/shared/tensor"
)

func imageModel() *draft { return (&draft{}).input("x", onnx.Float, -1, 3, 8, 8).output("y") }

// TestRefused loads models that must be refused, each with a reason that helps.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		model *draft
		want  string
	}{
		"operator": {imageModel().node("Einsum", in("x"), "y"), "node 0 (Einsum, giving y, opset 13): operator Einsum is not supported"},
		"opset":    {&draft{opset: 3}, "opset 3 is not supported"},
		"output":   {imageModel(), `output 0: nothing gives "y"`},
		"order":    {imageModel().node("Relu", in("z"), "y"), `nothing before it gives input 0, "z"`},
		"twice":    {imageModel().node("Relu", in("x"), "y").node("Relu", in("x"), "y"), `"y" is defined twice`},
		"itself":   {imageModel().node("Relu", in("y"), "y"), "nothing before it"},
		"open":     {(&draft{}).input("x", onnx.Float, 1, -1).output("x"), "dimension 1 is open"},
		"text":     {(&draft{}).input("x", onnx.String, 1).output("x"), "elements of string"},
		"shapes":   {imageModel().floats("w", 1, 5, 5).node("Add", in("x", "w"), "y"), "do not broadcast"},
		"channels": {imageModel().floats("w", 1, 4, 2, 3, 3).node("Conv", in("x", "w"), "y"), "weights of shape [4 2 3 3]"},
		"group 0":  {imageModel().floats("w", 1, 4, 3, 3, 3).node("Conv", in("x", "w"), "y", "group", 0), "0 groups"},
		"stride 0": {imageModel().floats("w", 1, 4, 3, 3, 3).node("Conv", in("x", "w"), "y", "strides", []int{0, 1}), "strides [0 1]"},
		"wide pad": {imageModel().floats("w", 1, 4, 3, 3, 3).node("Conv", in("x", "w"), "y", "pads", []int{1 << 60, 0, 0, 0}), "pads"},
		"big conv": {imageModel().floats("w", 1, 4, 3, 3, 3).node("Conv", in("x", "w"), "y", "pads", []int{1 << 20, 1 << 20, 0, 0}), "too many elements"},
		"big pool": {
			imageModel().node("MaxPool", in("x"), "y", "kernel_shape", []int{1 << 20, 1 << 20}, "pads", []int{1 << 19, 1 << 19, 1 << 19, 1 << 19}),
			"too many elements",
		},
		"reshape": {imageModel().ints("s", 5, -1).node("Reshape", in("x", "s"), "y"), "shape [5 -1] for 192 elements"},
		"fold":    {(&draft{}).ints("s", 1<<13, 1<<14).node("ConstantOfShape", in("s"), "c").output("c"), "MiB of memory"},
		"product": {(&draft{}).ints("s", 1<<40, 1<<40).node("ConstantOfShape", in("s"), "c").output("c"), "too many elements"},
		"memory":  {(&draft{}).input("x", onnx.Float, 1, 1<<26).output("y").node("Relu", in("x"), "z").node("Add", in("x", "z"), "y"), "MiB of memory"},
		"axis":    {imageModel().node("Softmax", in("x"), "y", "axis", 4), "axis 4 of a tensor of 4 dimensions"},
		"bound":   {imageModel().node("Clip", in("x"), "y", "max", float32(math.NaN())), "not a number"},
		"missing": {imageModel().node("Conv", in("x"), "y"), "1 inputs, want 2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Backend{Memory: 256 << 20}.LoadBytes(t.Context(), test.model.file())
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "fault") {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestConstantTooLarge refuses a tensor of bytes before each has become an int64.
func TestConstantTooLarge(t *testing.T) {
	d := imageModel().node("Relu", in("x"), "y")
	d.graph = append(d.graph, message(5, message(8, "w", 1, 4<<20, 2, int(onnx.Int8), 9, make([]byte, 4<<20)))...)
	file := d.file()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Backend{Memory: 16 << 20}.LoadBytes(t.Context(), file)
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; err == nil || !strings.Contains(err.Error(), "16 MiB") || took > 1<<20 {
		t.Errorf("error %v after %d bytes of memory", err, took)
	}
}

// TestFoldStrided works out a slice with a step while compiling, as a session would.
func TestFoldStrided(t *testing.T) {
	d := (&draft{}).input("x", onnx.Float, 1).output("y").ints("s", 8).node("ConstantOfShape", in("s"), "c").
		ints("a", 0).ints("b", 8).ints("e", 0).ints("d", 2).node("Slice", in("c", "a", "b", "e", "d"), "z").node("Add", in("x", "z"), "y")
	for _, set := range kernel.Sets() {
		s, in, out := open(t, Backend{Kernels: &set}, d.file(), reference{Scale: 1})
		if err := s.Infer(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
		if y, x := out[0].Float32s(), in[0].Float32s()[0]; len(y) != 4 || y[0] != x || y[3] != x {
			t.Errorf("%v: %v plus zeros is %v", set, x, y)
		}
	}
}

// network is a small model with a convolution, a shortcut, a concatenation of
// results that are used elsewhere, and element-wise layers.
func network() *draft {
	return imageModel().floats("w", 0.1, 4, 3, 3, 3).floats("v", 0.2, 4, 4, 1, 1).floats("d", 0.3, 4, 1, 3, 3).
		node("Conv", in("x", "w"), "a", "pads", []int{1, 1, 1, 1}).
		node("Relu", in("a"), "b").
		node("Conv", in("b", "d"), "c", "pads", []int{1, 1, 1, 1}, "group", 4).
		node("Conv", in("c", "v"), "e").
		node("Add", in("e", "b"), "f").
		node("Concat", in("f", "b", "f"), "g", "axis", 1).
		node("Sigmoid", in("g"), "h").
		node("Mul", in("g", "h"), "i").
		node("Add", in("f", "f"), "j").
		node("ReduceMean", in("j"), "k", "axes", []int{1}).
		node("Add", in("i", "k"), "y")
}

// TestSharing runs a network whose tensors share memory in every way there is,
// against the same one where each tensor is an output too, and so is kept.
func TestSharing(t *testing.T) {
	apart := network()
	for _, name := range in("a", "b", "c", "e", "f", "g", "h", "i", "j", "k") {
		apart.output(name)
	}
	for _, set := range kernel.Sets() {
		var got [2][]float32
		for i, d := range []*draft{network(), apart} {
			s, in, out := open(t, Backend{Threads: 2, Kernels: &set}, d.file(), reference{Scale: 1})
			for range 2 {
				if err := s.Infer(t.Context(), in, out); err != nil {
					t.Fatal(err)
				}
			}
			got[i] = out[0].Float32s()
		}
		for i, v := range got[0] {
			if d := v - got[1][i]; d > 1e-4 || d < -1e-4 {
				t.Fatalf("%v: element %d is %v when memory is shared, and %v when not", set, i, v, got[1][i])
			}
		}
	}
}

// TestPromises holds the engine to what every backend promises.
func TestPromises(t *testing.T) {
	infertest.TestBackend(t, Backend{Threads: 2}, network().file())
}

func TestSession(t *testing.T) {
	var backend infer.Backend = Backend{Threads: 3}
	name := filepath.Join(t.TempDir(), "m.onnx")
	data := network().file()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if s, err := backend.Load(t.Context(), file, int64(len(data))+1, 0); err == nil || s != nil {
		t.Fatalf("a file shorter than its size gave %v and %v", s, err)
	}
	s, err := backend.Load(t.Context(), file, int64(len(data)), 0)
	if err != nil {
		t.Fatal(err)
	}
	in, out := s.Inputs(), s.Outputs()
	if len(in) != 1 || len(out) != 1 || in[0].Fits(tensor.Float32, []int{1, 3, 8, 8}) != nil || out[0].Fits(tensor.Float32, []int{1, 12, 8, 8}) != nil {
		t.Fatalf("inputs %v, outputs %v", in, out)
	}
	x, err := tensor.New("x", tensor.Float32, 1, 3, 8, 8)
	if err != nil {
		t.Fatal(err)
	}
	y := outputs(t, s.(*Session))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Infer(ctx, []tensor.Tensor{x}, y); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if err := s.Infer(t.Context(), []tensor.Tensor{x}, y); err != nil {
		t.Error(err)
	}
	short := x
	short.Data = short.Data[4:]
	if err := s.Infer(t.Context(), []tensor.Tensor{short}, y); err == nil || !strings.Contains(err.Error(), "bytes") {
		t.Errorf("with data that is too short: %v", err)
	}
	if err := s.Infer(t.Context(), nil, y); err == nil {
		t.Error("went through without inputs")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Infer(t.Context(), []tensor.Tensor{x}, y); !errors.Is(err, infer.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// fuzzLimit ends an inference that a hostile model makes long.
const fuzzLimit = time.Second

// FuzzLoad holds Load to its promise for any file, without its last guard, and runs what
// is accepted and small.
func FuzzLoad(f *testing.F) {
	f.Add(network().file())
	f.Add(imageModel().node("MaxPool", in("x"), "y", "kernel_shape", []int{3, 3}, "strides", []int{2, 2}, "ceil_mode", 1).file())
	f.Add(imageModel().ints("s", 0, -1).node("Reshape", in("x", "s"), "z").node("Softmax", in("z"), "y").file())
	f.Add(imageModel().node("Transpose", in("x"), "y", "perm", []int{0, 2, 3, 1}).file())
	f.Add(imageModel().ints("a", 1, 2).ints("b", 8, 7).ints("c", 2, 3).ints("d", 2, -1).node("Slice", in("x", "a", "b", "c", "d"), "y").file())
	f.Add(imageModel().floats("s", 2, 4).node("Resize", in("x", "", "s"), "y", "mode", "linear").file())
	f.Add(imageModel().floats("w", 1, 512, 10).node("Flatten", in("x"), "z").node("Gemm", in("z", "w"), "y").file())
	for _, h := range hostile() {
		f.Add(h.model.file())
	}
	seeds, err := filepath.Glob(nodeTests + "/test_[crsp]*/model.onnx")
	if err != nil {
		f.Fatal(err)
	}
	for i := 0; i < len(seeds); i += 5 {
		if b, err := os.ReadFile(seeds[i]); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := onnx.Read(b)
		if err != nil {
			return
		}
		s, err := Backend{Threads: 1, Memory: 8 << 20}.open(t.Context(), m)
		if err != nil {
			return
		}
		defer s.Close()
		if s.Stats().MACs > 1e7 {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), fuzzLimit)
		defer cancel()
		var in []tensor.Tensor
		for _, spec := range s.Inputs() {
			x, err := tensor.New(spec.Name, spec.Type, spec.Shape...)
			if err != nil {
				t.Fatal(err)
			}
			for i := range x.Data {
				x.Data[i] = byte(i * 37)
			}
			in = append(in, x)
		}
		if err := s.Infer(ctx, in, outputs(t, s)); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	})
}
