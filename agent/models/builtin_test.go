package models_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/infer/post"
	"primespark/agent/models"
	"primespark/shared/model"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// started returns a registry that has loaded what there is.
func started(t testing.TB, cfg models.Config) *models.Registry {
	t.Helper()
	r, err := models.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, cancel := contextFor(t)
	go func() { done <- r.Run(ctx) }() // ends with ctx, and the cleanup waits for it
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	<-r.Settled()
	return r
}

// look sends an image and returns what is found.
func look(t testing.TB, r *models.Registry, name string, photo []byte) []post.Found {
	t.Helper()
	answer, err := r.Infer(t.Context(), name, "", infer.Request{Inputs: []tensor.Tensor{tensor.FromBytes("image", photo)}})
	if err != nil {
		t.Fatalf("infer: %+v", err)
	}
	return found(t, answer)
}

func found(t testing.TB, answer infer.Response) []post.Found {
	t.Helper()
	elements, err := answer.Outputs[0].Elements()
	if err != nil {
		t.Fatal(err)
	}
	all := make([]post.Found, len(elements))
	for i, e := range elements {
		if err := json.Unmarshal(e, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestBlazeFaceFindsTheAstronaut(t *testing.T) {
	r := started(t, models.Config{Backends: []infer.Backend{builtin.Backend{}}})
	if index := r.Index(); len(index) != 1 || index[0] != (model.Status{Name: "blazeface", Version: "1", State: model.Ready}) {
		t.Fatalf("Index = %+v", index)
	}
	got := look(t, r, "blazeface", testphoto.Astronaut())
	t.Logf("%+v", got)
	if len(got) != 1 || got[0].Label != "face" || got[0].Score < .85 || len(got[0].Keypoints) != 6 {
		t.Fatalf("found %+v, want one face", got)
	}
	b := got[0].Box
	if x, y := (b[0]+b[2])/2, (b[1]+b[3])/2; x < 214 || x > 238 || y < 111 || y > 147 {
		t.Errorf("the middle of the face is at %v, %v, want about 226, 129", x, y)
	}
}

func BenchmarkBlazeFace(b *testing.B) {
	r := started(b, models.Config{Backends: []infer.Backend{builtin.Backend{}}})
	photo := testphoto.Astronaut()
	b.ReportAllocs()
	for b.Loop() {
		look(b, r, "blazeface", photo)
	}
}

// relu is an ONNX file of one operator, y = Relu(x), with x of shape [N, M], both open.
const relu = "\x08\x08\x42\x02\x10\x0d\x3a\x2a" +
	"\x0a\x0c\x0a\x01x\x12\x01y\x22\x04Relu" +
	"\x5a\x15\x0a\x01x\x12\x10\x0a\x0e\x08\x01\x12\x0a\x0a\x03\x12\x01N\x0a\x03\x12\x01M" +
	"\x62\x03\x0a\x01y"

// The manifest's shapes close what a file leaves open: here a batch of three.
func TestOpenDimensions(t *testing.T) {
	manifest := fmt.Sprintf(`{apiVersion: edge/v1, kind: Model, name: relu, version: "1", license: MIT,
variants: [{engine: builtin, file: relu.onnx, sha256: %x}],
inputs: [{name: x, datatype: FP32, shape: [3, 2]}], outputs: [{name: y, datatype: FP32, shape: [3, 2]}], postprocess: {kind: raw}}`, sha256.Sum256([]byte(relu)))
	r := started(t, models.Config{
		Backends: []infer.Backend{infer.Faulty(builtin.Backend{}, infer.Crash, 100)}, // a fault to come changes nothing
		Embedded: map[string]models.Files{"relu": {"model.yaml": []byte(manifest), "relu.onnx": []byte(relu)}},
	})
	answer, err := r.Infer(t.Context(), "relu", "", infer.Request{Inputs: []tensor.Tensor{
		tensor.FromFloat32s("x", []float32{-1, 2, -3, 4, -5, 6}, 3, 2),
	}})
	if err != nil {
		t.Fatalf("%v; Index = %+v", err, r.Index())
	}
	if got := answer.Outputs[0].Float32s(); !slices.Equal(got, []float32{0, 2, 0, 4, 0, 6}) {
		t.Errorf("outputs %v", got)
	}
}
