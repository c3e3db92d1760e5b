package builtin

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin/kernel"
	"primespark/agent/infer/builtin/onnx"
)

// hostile are models whose numbers are made to overflow or to cost much, each with what
// is said when it is refused; "" for one that may load.
func hostile() map[string]struct {
	model *draft
	want  string
} {
	// Each node keeps something of 4 to 16 MiB, in a file of a few kilobytes.
	resizes := (&draft{}).input("v0", onnx.Float, 1, 1, 1, 1).output("v300").ints("s", 1, 1, 1<<20, 1)
	blends := (&draft{}).input("v0", onnx.Float, 1, 1, 1, 1).output("v300").ints("s", 1, 1, 1<<20, 1)
	pads := (&draft{}).input("v0", onnx.Float, 1<<19).output("v300").ints("p", 1, 1)
	biases := (&draft{}).input("x", onnx.Float, 1, 1, 1, 1).output("v300").ints("s", 1<<20, 1, 1, 1).node("ConstantOfShape", in("s"), "w")
	folds := (&draft{}).input("x", onnx.Float, 1).output("x").ints("s", 1<<19).ints("e", 1<<19)
	for i := range 300 {
		from, to := fmt.Sprint("v", i), fmt.Sprint("v", i+1)
		resizes.node("Resize", in(from, "", "", "s"), to)
		blends.node("Resize", in(from, "", "", "s"), to, "mode", "linear")
		pads.node("Pad", in(from, "p"), to)
		biases.node("Conv", in("x", "w"), to)
		folds.node("ConstantOfShape", in("s"), to)
	}
	vector := func(n int) *draft { return (&draft{}).input("x", onnx.Float, n).output("y") }
	return map[string]struct {
		model *draft
		want  string
	}{
		// 2^24 elements 2^40 times are 2^64, which is 0.
		"tile": {vector(1<<24).ints("r", 1<<40).node("Tile", in("x", "r"), "t").node("Concat", in("t", "x"), "y", "axis", 0), "too many elements"},
		// Dimensions behind a 0 multiply to nothing, and by themselves to too much.
		"flatten": {
			(&draft{}).input("x", onnx.Float, 1).output("y").ints("s", 0, 1<<40, 1<<40).node("ConstantOfShape", in("s"), "c").
				node("Flatten", in("c"), "y"), "too many elements",
		},
		"reshape": {vector(4).ints("s", 1<<32, 1<<32).node("Reshape", in("x", "s"), "y"), "shape [4294967296 4294967296] for 4 elements"},
		"empty":   {vector(4).ints("z", 0).node("ConstantOfShape", in("z"), "c").ints("s", 0, 1<<33, 1<<33).node("Reshape", in("c", "s"), "y", "allowzero", 1), "too many elements"},
		"pad":     {vector(4).ints("p", 1<<40, 1<<40).node("Pad", in("x", "p"), "y"), "pads"},
		"pads": {
			(&draft{}).input("x", onnx.Float, 1, 1, 1, 1).output("y").ints("p", 0, 1<<19, 1<<19, 1<<19, 0, 0, 0, 0).node("Pad", in("x", "p"), "y"),
			"too many elements",
		},
		"expand":           {vector(1).ints("s", 1<<40, 1<<40).node("Expand", in("x", "s"), "y"), "too many elements"},
		"resizes":          {(&draft{}).input("x", onnx.Float, 1, 1, 1, 1).output("y").ints("s", 1<<20, 1<<20, 1<<20, 1<<20).node("Resize", in("x", "", "", "s"), "y"), "too many elements"},
		"tables of Resize": {resizes, "MiB of memory"},
		"blends of Resize": {blends, "MiB of memory"},
		"tables of Pad":    {pads, "MiB of memory"},
		"biases":           {biases, "MiB of memory"},
		"folds":            {folds, ""},
		"average":          {(&draft{}).input("x", onnx.Float, 1, 1, 2048, 2048).output("y").node("AveragePool", in("x"), "y", "kernel_shape", []int{1024, 1024}), "billion operations"},
		"range":            {vector(1).ints("a", -1<<40).ints("b", 1<<40).ints("c", 1).node("Range", in("a", "b", "c"), "y"), "too many elements"},
		"depthwise": {
			(&draft{}).input("x", onnx.Float, 1, 2, 1, 1).output("y").floats("w", 1, 2, 1, 32, 32).
				node("Conv", in("x", "w"), "y", "group", 2, "auto_pad", "SAME_UPPER", "dilations", []int{1 << 20, 1 << 20}),
			"too many elements",
		},
		"transposed": {
			(&draft{}).input("x", onnx.Float, 1, 1, 1<<20, 1).output("y").floats("w", 1, 1, 1, 1, 1).
				node("ConvTranspose", in("x", "w"), "y", "strides", []int{1 << 20, 1 << 20}),
			"too many elements",
		},
	}
}

// TestHostile loads models that would overflow, exhaust memory or never end.
func TestHostile(t *testing.T) {
	for name, test := range hostile() {
		t.Run(name, func(t *testing.T) {
			const memory = 64 << 20
			file := test.model.file()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s, err := Backend{Threads: 2, Memory: memory}.LoadBytes(t.Context(), file)
			runtime.ReadMemStats(&after)
			if took := after.TotalAlloc - before.TotalAlloc; took > memory+8<<20 {
				t.Errorf("it took %d MiB", took>>20)
			}
			if err == nil {
				s.Close()
			}
			if err == nil != (test.want == "") || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "fault")) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// TestFault lets tasks of a session panic, on a worker and on the caller's goroutine.
func TestFault(t *testing.T) {
	s, in, out := open(t, Backend{Threads: 2}, network().file(), reference{Scale: 1})
	s.steps[3].tasks, s.steps[3].run = 64, func(int, *worker) { panic("a mistake") }
	for range 2 {
		err := s.Infer(t.Context(), in, out)
		if !errors.Is(err, infer.ErrBroken) || !strings.Contains(err.Error(), s.steps[3].op) || !strings.Contains(err.Error(), "a mistake") {
			t.Fatalf("Infer = %v, want infer.ErrBroken with the node", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Infer(ctx, in, out); !errors.Is(err, infer.ErrBroken) {
		t.Errorf("Infer = %v, want infer.ErrBroken", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// TestStops cancels inferences whose nodes are few and long: they end soon, and not only
// between tasks.
func TestStops(t *testing.T) {
	image := func() *draft { return (&draft{}).input("x", onnx.Float, 1, 1, 1024, 1024).output("y") }
	for name, d := range map[string]*draft{
		"average":    image().node("AveragePool", in("x"), "y", "kernel_shape", []int{513, 513}),
		"transposed": image().floats("w", 1, 1, 1, 128, 128).node("ConvTranspose", in("x", "w"), "y", "pads", []int{64, 64, 63, 63}),
		"depthwise":  (&draft{}).input("x", onnx.Float, 1, 2, 1024, 1024).output("y").floats("w", 1, 2, 1, 32, 32).node("Conv", in("x", "w"), "y", "group", 2),
		"norm":       (&draft{}).input("x", onnx.Float, 1, 1024, 64, 64).output("y").node("LRN", in("x"), "y", "size", 1024),
	} {
		t.Run(name, func(t *testing.T) {
			s, in, out := open(t, Backend{Threads: 1, Kernels: new(kernel.Set)}, d.file(), reference{Scale: 1})
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := s.Infer(ctx, in, out)
			if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
				t.Errorf("Infer = %v after %v, want context.DeadlineExceeded soon", err, took)
			}
		})
	}
}
