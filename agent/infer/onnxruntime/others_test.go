package onnxruntime_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	runtime "primespark/agent/onnxruntime"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/run/runtest"
	"primespark/shared/tensor"
)

// TestHangLeavesOthers has the worker hang on one model, with no other engine to go to:
// that request gets an error within the bound, a model of another engine answers all
// the while, and the other model of the worker, and the one itself, once a new worker
// is up.
func TestHangLeavesOthers(t *testing.T) {
	b, _ := open(t, orttest.Double(t), func(c *runtime.Config) { c.Cap = time.Second })
	fake := &infertest.Fake{Name: "builtin", Inputs: []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{2, 3}}}, Outputs: []tensor.Spec{{Name: "y", Type: tensor.Float32, Shape: []int{4}}}}
	pack := func(name, engine string, file []byte) models.Files {
		return models.Files{"net": file, "model.yaml": fmt.Appendf(nil, "apiVersion: edge/v1\nkind: Model\nname: %s\nvariants: [{engine: %s, file: net, sha256: %x}]\n", name, engine, sha256.Sum256(file))}
	}
	r, err := models.New(models.Config{Backends: []infer.Backend{fake, b}, Embedded: map[string]models.Files{
		"hangs": pack("hangs", "onnxruntime", orttest.Small()), "beside": pack("beside", "onnxruntime", orttest.Small()),
		"apart": pack("apart", "builtin", []byte(infertest.Model)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	select {
	case <-r.Settled():
	case <-ctx.Done():
		t.Fatal("the models are not loaded within a minute")
	}
	ask := func(name string, v float32) error {
		_, err := r.Infer(ctx, name, "", infer.Request{Inputs: []tensor.Tensor{tensor.FromFloat32s("x", []float32{v, 0, 0, 0, 0, 0}, 2, 3)}})
		return err
	}
	hung := make(chan error, 1)
	go func() { hung <- ask("hangs", orttest.Hang) }() // waited for below
	for waiting := true; waiting; {
		if err := ask("apart", 1); err != nil {
			t.Fatalf("the model of another engine, meanwhile: %v", err)
		}
		select {
		case err := <-hung:
			if err == nil || ctx.Err() != nil {
				t.Fatalf("the request that hung gave %v", err)
			}
			waiting = false
		case <-time.After(time.Millisecond):
		}
	}
	for _, name := range []string{"beside", "hangs"} {
		for err := ask(name, 1); err != nil; err = ask(name, 1) {
			if ctx.Err() != nil {
				t.Fatalf("%s does not answer again within a minute: %v", name, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
