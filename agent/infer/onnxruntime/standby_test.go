package onnxruntime_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/infer/onnxruntime"
	"primespark/agent/models"
	runtime "primespark/agent/onnxruntime"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/run/runtest"
	"primespark/shared/tensor"
)

// registry serves a package of the given variants, "ENGINE FILE", on ONNX Runtime and on
// a builtin engine that is a fake.
func registry(t *testing.T, b *onnxruntime.Backend, prefer []string, variants ...[2]string) *models.Registry {
	t.Helper()
	files := map[string][]byte{"small.onnx": orttest.Small(), "fake": []byte(infertest.Model)}
	var manifest strings.Builder
	manifest.WriteString("apiVersion: edge/v1\nkind: Model\nname: small\nvariants:\n")
	dir := filepath.Join(t.TempDir(), "small")
	err := os.MkdirAll(dir, 0o700)
	for _, v := range variants {
		fmt.Fprintf(&manifest, "- {engine: %s, file: %s, sha256: %x}\n", v[0], v[1], sha256.Sum256(files[v[1]]))
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, v[1]), files[v[1]], 0o600))
	}
	if err = errors.Join(err, os.WriteFile(filepath.Join(dir, "model.yaml"), []byte(manifest.String()), 0o600)); err != nil {
		t.Fatal(err)
	}
	fake := &infertest.Fake{Name: "builtin", Inputs: []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{2, 3}}}, Outputs: []tensor.Spec{{Name: "y", Type: tensor.Float32, Shape: []int{4}}}}
	r, err := models.New(models.Config{Backends: []infer.Backend{fake, b}, Prefer: prefer, Dir: filepath.Dir(dir), Embedded: map[string]models.Files{}})
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, r)
	select {
	case <-r.Settled():
	case <-time.After(time.Minute):
		t.Fatal("the model is not loaded within a minute")
	}
	return r
}

// engine asks a model with a first number, and returns who answered.
func engine(t *testing.T, r *models.Registry, v float32) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	res, err := r.Infer(ctx, "small", "", infer.Request{Inputs: []tensor.Tensor{tensor.FromFloat32s("x", []float32{v, 0, 0, 0, 0, 0}, 2, 3)}})
	if err != nil {
		t.Fatalf("%v: %+v", err, r.Index())
	}
	return res.Backend
}

// TestMeanwhile has the next variant answer the very request on which the worker
// died, or hung, and those until the next worker is up; then the first is back.
func TestMeanwhile(t *testing.T) {
	for name, number := range map[string]float32{"crash": orttest.Crash, "hang": orttest.Hang} {
		t.Run(name, func(t *testing.T) {
			b, _ := open(t, orttest.Double(t), func(c *runtime.Config) { c.Cap = time.Second })
			r := registry(t, b, nil, [2]string{"onnxruntime", "small.onnx"}, [2]string{"builtin", "fake"})
			if got := engine(t, r, 1); got != "onnxruntime" {
				t.Fatalf("%s answers at first: %+v", got, r.Index())
			}
			if got := engine(t, r, number); got != "builtin" {
				t.Errorf("%s answers what the worker did not", got)
			}
			for end := time.Now().Add(time.Minute); engine(t, r, 1) != "onnxruntime"; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("ONNX Runtime is not back within a minute")
				}
			}
		})
	}
}

// TestAbsent serves with the next variant where ONNX Runtime is not installed.
func TestAbsent(t *testing.T) {
	b, _ := open(t, orttest.Kit{}, func(c *runtime.Config) { c.Root = t.TempDir() })
	if got := engine(t, registry(t, b, nil, [2]string{"onnxruntime", "small.onnx"}, [2]string{"builtin", "fake"}), 1); got != "builtin" {
		t.Errorf("%s answers", got)
	}
}

// TestPreferred has the configuration decide: ONNX Runtime runs what the package has
// for the builtin engine.
func TestPreferred(t *testing.T) {
	b, _ := open(t, orttest.Double(t), nil)
	if got := engine(t, registry(t, b, []string{"onnxruntime"}, [2]string{"builtin", "small.onnx"}), 1); got != "onnxruntime" {
		t.Errorf("%s answers", got)
	}
}
