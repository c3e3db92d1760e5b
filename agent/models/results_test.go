package models_test

import (
	"maps"
	"sync"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/shared/tensor"
	"primespark/shared/testphoto"
)

// kept is a cache that forgets nothing.
type kept struct {
	mu      sync.Mutex
	answers map[[32]byte][]byte
}

func (k *kept) Get(q [32]byte) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, ok := k.answers[q]
	return b, ok
}

func (k *kept) Put(q [32]byte, b []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers[q] = b
}

// TestResultsOfBefore: the same question is computed once, and nothing else passes for
// the same.
func TestResultsOfBefore(t *testing.T) {
	runs := 0
	fake := engine("")
	fake.Answer = func(_, out []tensor.Tensor) error {
		runs++
		copy(out[0].Float32s(), []float32{.125, .875})
		return nil
	}
	results := &kept{answers: map[[32]byte][]byte{}}
	r := started(t, models.Config{Backends: []infer.Backend{fake}, Results: results, Embedded: map[string]models.Files{"pets": pets()}})
	photo := []tensor.Tensor{tensor.FromBytes("image", testphoto.Astronaut())}
	raw, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	other, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
	if err != nil {
		t.Fatal(err)
	}
	other.Float32s()[5] = 1
	for _, step := range []struct {
		about string
		req   infer.Request
		runs  int
		cache infer.Kept
	}{
		{"the first", infer.Request{Inputs: photo}, 1, infer.Miss},
		{"the same", infer.Request{Inputs: photo, Priority: 3}, 0, infer.Hit},
		{"its tensors", infer.Request{Inputs: photo, Postprocess: new(bool)}, 1, infer.Miss},
		{"its tensors again", infer.Request{Inputs: photo, Postprocess: new(bool)}, 0, infer.Hit},
		{"anew", infer.Request{Inputs: photo, Cache: infer.NoCache}, 1, infer.Miss},
		{"without any", infer.Request{Inputs: photo, Cache: infer.NoStore}, 1, infer.Unasked},
		{"raw", infer.Request{Inputs: []tensor.Tensor{raw}}, 1, infer.Miss},
		{"raw, one number differs", infer.Request{Inputs: []tensor.Tensor{other}}, 1, infer.Miss},
		{"raw again", infer.Request{Inputs: []tensor.Tensor{raw}}, 0, infer.Hit},
	} {
		before := runs
		want, err := r.Infer(t.Context(), "pets", "", step.req)
		if err != nil {
			t.Fatalf("%s: %v", step.about, err)
		}
		if runs-before != step.runs || want.Cache != step.cache {
			t.Errorf("%s: %d runs, %d", step.about, runs-before, want.Cache)
		}
		if n := len(want.Outputs); n != 1 || want.Outputs[0].Check() != nil || want.Backend != "fake" || len(want.Labels) != 2 {
			t.Errorf("%s: %+v", step.about, want)
		}
		want.Outputs[0].Data[0] ^= 1 // the caller owns it
	}
	if got := look(t, r, "pets", testphoto.Astronaut()); got[0].Label != "dog" || got[0].Score != .875 {
		t.Errorf("the kept result is %+v", got)
	}
	for q := range maps.Keys(results.answers) {
		results.answers[q] = []byte("nonsense")
	}
	before := runs
	if got := look(t, r, "pets", testphoto.Astronaut()); got[0].Label != "dog" || runs-before != 1 {
		t.Errorf("with a result that cannot be read: %+v after %d runs", got, runs-before)
	}
}
