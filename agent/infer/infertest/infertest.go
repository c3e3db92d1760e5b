// Package infertest holds what every backend promises, as a suite of tests that
// runs on all of them, and a fake backend for the tests of those who use one.
package infertest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"primespark/agent/infer"
	"primespark/shared/tensor"
)

// TestBackend checks that backend keeps the promises of infer.Backend and
// infer.Session. Model is the content of a file that it can load.
func TestBackend(t *testing.T, backend infer.Backend, model []byte) {
	if backend.Engine() == "" {
		t.Error("the engine has no name")
	}
	t.Run("same input, same output", func(t *testing.T) {
		s := Load(t, backend, model)
		first, second := Outputs(t, s), Outputs(t, s)
		must(t, s.Infer(t.Context(), Inputs(t, s), first))
		must(t, s.Infer(t.Context(), Inputs(t, s), second))
		for i := range first {
			if !bytes.Equal(first[i].Data, second[i].Data) {
				t.Errorf("output %q differs between two runs on the same input", first[i].Name)
			}
		}
	})
	t.Run("every session answers alike", func(t *testing.T) {
		one, other := Load(t, backend, model), Load(t, backend, model)
		first, second := Outputs(t, one), Outputs(t, other)
		must(t, one.Infer(t.Context(), Inputs(t, one), first))
		must(t, other.Infer(t.Context(), Inputs(t, other), second))
		for i := range first {
			if !bytes.Equal(first[i].Data, second[i].Data) {
				t.Errorf("output %q differs between two sessions of the same model", first[i].Name)
			}
		}
	})
	t.Run("inputs stay as they are", func(t *testing.T) {
		s := Load(t, backend, model)
		in := Inputs(t, s)
		must(t, s.Infer(t.Context(), in, Outputs(t, s)))
		for i, want := range Inputs(t, s) {
			if !bytes.Equal(in[i].Data, want.Data) {
				t.Errorf("input %q was written to", in[i].Name)
			}
		}
	})
	t.Run("ended context", func(t *testing.T) {
		s := Load(t, backend, model)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Infer(ctx, Inputs(t, s), Outputs(t, s)); !errors.Is(err, context.Canceled) {
			t.Errorf("Infer = %v, want context.Canceled", err)
		}
	})
	t.Run("wrong tensors are refused", func(t *testing.T) { testWrong(t, backend, model) })
	t.Run("close twice", func(t *testing.T) {
		s := Load(t, backend, model)
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
		if err := s.Infer(t.Context(), Inputs(t, s), Outputs(t, s)); !errors.Is(err, infer.ErrClosed) {
			t.Errorf("Infer after Close = %v, want infer.ErrClosed", err)
		}
	})
	t.Run("close during an inference", func(t *testing.T) { testClose(t, backend, model) })
	t.Run("memory is bounded", func(t *testing.T) {
		need := Load(t, backend, model).Memory()
		if need < 1 {
			t.Fatalf("a session holds %d bytes", need)
		}
		s, err := open(t, backend, model, need)
		if err != nil {
			t.Fatalf("with as much memory as it holds: %v", err)
		}
		must(t, s.Close())
		if s, err := open(t, backend, model, need-1); !errors.Is(err, infer.ErrMemory) {
			t.Errorf("with less memory than it holds: %v and %v, want infer.ErrMemory", s, err)
		}
	})
	t.Run("broken files are refused", func(t *testing.T) {
		for name, bad := range map[string][]byte{
			"empty": {}, "noise": bytes.Repeat([]byte{0xff}, 64), "half": model[:len(model)/2],
		} {
			if s, err := open(t, backend, bad, 0); err == nil {
				t.Errorf("a file that is %s was loaded", name)
				must(t, s.Close())
			}
		}
	})
}

// testWrong gives each kind of wrong tensor; the session goes on afterwards.
func testWrong(t *testing.T, backend infer.Backend, model []byte) {
	s := Load(t, backend, model)
	wrong := map[string]func(in, out []tensor.Tensor) (i, o []tensor.Tensor){
		"no inputs":  func(_, out []tensor.Tensor) (i, o []tensor.Tensor) { return nil, out },
		"no outputs": func(in, _ []tensor.Tensor) (i, o []tensor.Tensor) { return in, nil },
		"a shape": func(in, out []tensor.Tensor) (i, o []tensor.Tensor) {
			in[0].Shape = append([]int{2}, in[0].Shape...)
			return in, out
		},
		"a type": func(in, out []tensor.Tensor) (i, o []tensor.Tensor) {
			in[0].Type = tensor.Bool
			return in, out
		},
		"short data": func(in, out []tensor.Tensor) (i, o []tensor.Tensor) {
			in[0].Data = in[0].Data[:len(in[0].Data)/2]
			return in, out
		},
		"a short output": func(in, out []tensor.Tensor) (i, o []tensor.Tensor) {
			out[0].Data = out[0].Data[:len(out[0].Data)/2]
			return in, out
		},
	}
	for name, spoil := range wrong {
		in, out := spoil(Inputs(t, s), Outputs(t, s))
		if err := s.Infer(t.Context(), in, out); err == nil {
			t.Errorf("%s: wrong, and taken", name)
		}
	}
	must(t, s.Infer(t.Context(), Inputs(t, s), Outputs(t, s)))
}

// testClose closes a session while it is at work: the inference ends well or
// with infer.ErrClosed, and the race detector is content.
func testClose(t *testing.T, backend infer.Backend, model []byte) {
	s := Load(t, backend, model)
	in, out := Inputs(t, s), Outputs(t, s)
	var wg sync.WaitGroup
	started := make(chan struct{})
	wg.Go(func() {
		close(started)
		for range 3 {
			if err := s.Infer(t.Context(), in, out); err != nil && !errors.Is(err, infer.ErrClosed) {
				t.Errorf("Infer during Close = %v, want nil or infer.ErrClosed", err)
			}
		}
	})
	<-started
	for range 2 {
		wg.Go(func() {
			if err := s.Close(); err != nil {
				t.Errorf("Close = %v", err)
			}
		})
	}
	wg.Wait()
}

// Load makes a session of a model's bytes and closes it at the end of the test.
func Load(t testing.TB, backend infer.Backend, model []byte) infer.Session {
	t.Helper()
	s, err := open(t, backend, model, 0)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func open(t testing.TB, backend infer.Backend, model []byte, memory int64) (infer.Session, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model")
	must(t, os.WriteFile(path, model, 0o600))
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	return backend.Load(context.Background(), f, int64(len(model)), memory)
}

// Inputs returns tensors that s takes, filled with a pattern of small numbers.
func Inputs(t testing.TB, s infer.Session) []tensor.Tensor {
	t.Helper()
	in := tensors(t, s.Inputs())
	for _, x := range in {
		if x.Type == tensor.Float32 {
			for i := range x.Float32s() {
				x.Float32s()[i] = float32(i%17)/8 - 1
			}
			continue
		}
		for i := range x.Data {
			x.Data[i] = byte(i % 2)
		}
	}
	return in
}

// Outputs returns tensors that s can fill.
func Outputs(t testing.TB, s infer.Session) []tensor.Tensor {
	t.Helper()
	return tensors(t, s.Outputs())
}

func tensors(t testing.TB, specs []tensor.Spec) []tensor.Tensor {
	t.Helper()
	all := make([]tensor.Tensor, len(specs))
	for i, spec := range specs {
		shape := slices.Clone(spec.Shape)
		for i, d := range shape {
			shape[i] = max(0, d) // what the data decide
		}
		x, err := tensor.New(spec.Name, spec.Type, shape...)
		must(t, err)
		all[i] = x
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
