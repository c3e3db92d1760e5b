package onnxruntime_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/infer/onnxruntime"
	runtime "primespark/agent/onnxruntime"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/run/runtest"
	"primespark/shared/tensor"
	"primespark/shared/worker"
)

// open returns a backend over a worker with a library, and the worker's supervisor.
func open(t testing.TB, kit orttest.Kit, change func(*runtime.Config)) (*onnxruntime.Backend, *runtime.Supervisor) {
	t.Helper()
	cfg := runtime.Config{Library: kit.Library, Worker: kit.Worker, Dir: t.TempDir(), Threads: 2}
	if change != nil {
		change(&cfg)
	}
	s := runtime.New(cfg)
	runtest.Start(t, s)
	return onnxruntime.New(s), s
}

func load(t testing.TB, b infer.Backend, model []byte) (infer.Session, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return b.Load(ctx, f, int64(len(model)), 0)
}

func TestConformance(t *testing.T) {
	b, s := open(t, orttest.Double(t), nil)
	infertest.TestBackend(t, b, orttest.Small())
	if st := s.Status().Get(); st.Restarts != 0 {
		t.Errorf("%d restarts, the last since %q", st.Restarts, st.LastRestart)
	}
	if b.Engine() != "onnxruntime" || b.Parallel() != 2 {
		t.Errorf("%d at a time on %q", b.Parallel(), b.Engine())
	}
}

// TestShaped closes what a file leaves open, by what its manifest says.
func TestShaped(t *testing.T) {
	b, _ := open(t, orttest.Double(t), nil)
	file := orttest.Model([]orttest.Port{{Name: "x", Type: 1, Dims: []int{-1, 3, -1}}, {Name: "scale", Type: 7}}, []orttest.Port{{Name: "y", Type: 1, Dims: []int{-1, 4}}})
	for name, test := range map[string]struct {
		shapes []tensor.Spec
		want   string // "" if it is taken
	}{
		"as it is":      {nil, `leaves dimension 2 of x open`},
		"closed":        {[]tensor.Spec{{Name: "x", Shape: []int{5, 3, 7}}, {Name: "scale", Shape: []int{1}}}, ""},
		"its sample":    {[]tensor.Spec{{Name: "x", Shape: []int{5, 3, 7}, Sample: orttest.Fail}, {Name: "scale", Shape: []int{1}}}, "running Gather node"},
		"another":       {[]tensor.Spec{{Name: "x", Shape: []int{5, 4, 7}}}, "dimension 1 of x is 3 in the file and 4 in the manifest"},
		"too few":       {[]tensor.Spec{{Name: "x", Shape: []int{5, 3}}}, "x has 3 dimensions in the file and 2 in the manifest"},
		"of no concern": {[]tensor.Spec{{Name: "z", Shape: []int{5}}}, "leaves dimension 2 of x open"},
	} {
		s, err := load(t, b.Shaped(test.shapes, nil), file)
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v, want %q", name, err, test.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in, out := s.Inputs(), s.Outputs()
		if in[0].Fits(tensor.Float32, []int{5, 3, 7}) != nil || in[1].Fits(tensor.Int64, []int{1}) != nil || out[0].Fits(tensor.Float32, []int{5, 4}) != nil {
			t.Errorf("%s: %+v gives %+v", name, in, out)
		}
		if err := errors.Join(s.Infer(t.Context(), infertest.Inputs(t, s), infertest.Outputs(t, s)), s.Close()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// first runs s on an input whose first number is v, and returns the first of the
// output.
func first(ctx context.Context, t testing.TB, s infer.Session, v float32) (float32, error) {
	t.Helper()
	in, out := infertest.Inputs(t, s), infertest.Outputs(t, s)
	in[0].Float32s()[0] = v
	err := s.Infer(ctx, in, out)
	return out[0].Float32s()[0], err
}

// TestFaults has the library crash, hang and fail: the request that met it gets a
// clear error in time, and the next one an answer.
func TestFaults(t *testing.T) {
	kit := orttest.Double(t)
	t.Run("child", func(t *testing.T) { faults(t, kit, "") })
	t.Run("unit", func(t *testing.T) { faults(t, kit, unit(t, kit).Socket) })
}

func faults(t *testing.T, kit orttest.Kit, socket string) {
	b, sup := open(t, kit, func(c *runtime.Config) { c.Cap, c.Socket = time.Second, socket })
	s := infertest.Load(t, b, orttest.Small())
	want, err := first(t.Context(), t, s, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		number   float32
		down     bool
		code     worker.Code
		restarts uint64
	}{
		{"error", orttest.Fail, false, worker.InferBadInput, 0},
		{"crash", orttest.Crash, true, worker.InferAborted, 1},
		{"hang", orttest.Hang, true, worker.InferTimeout, 2},
	} {
		_, err := first(t.Context(), t, s, test.number)
		code := worker.Code("")
		if down, ok := errors.AsType[*worker.Down](err); ok {
			code = down.Code
		} else if refused, ok := errors.AsType[*worker.Refused](err); ok {
			code = refused.Code
		}
		if errors.Is(err, infer.ErrDown) != test.down || code != test.code {
			t.Errorf("%s: %v (%q), want %q", test.name, err, code, test.code)
		}
		again, cancel := context.WithTimeout(t.Context(), time.Minute) // a pause before the restart of up to 3 s
		if got, err := first(again, t, s, 1); err != nil || got != want {
			t.Errorf("after a %s: %v and %v, want %v", test.name, got, err, want)
		}
		cancel()
		if st := sup.Status().Get(); st.Restarts != test.restarts {
			t.Errorf("after a %s: %d restarts, want %d", test.name, st.Restarts, test.restarts)
		}
	}
}

// TestUnload frees one model, and leaves the worker and the other as they are.
func TestUnload(t *testing.T) {
	b, sup := open(t, orttest.Double(t), nil)
	stays := infertest.Load(t, b, orttest.Small())
	pid := sup.Status().Get().Worker.PID
	for range 40 { // more than a worker has room for
		s, err := load(t, b, orttest.Small())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := first(t.Context(), t, s, 1); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(t, b, []byte("no model")); err == nil || !strings.Contains(err.Error(), "Protobuf parsing failed") {
		t.Errorf("a broken file: %v", err)
	}
	if _, err := first(t.Context(), t, stays, 1); err != nil {
		t.Error(err)
	}
	if st := sup.Status().Get(); st.Restarts != 0 || st.Worker.PID != pid {
		t.Errorf("the worker was replaced, since %s", st.LastRestart)
	}
}
