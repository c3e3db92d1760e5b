package models_test

import (
	"encoding/json"
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
