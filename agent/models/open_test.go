package models_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// finder is an engine whose model gives as many boxes as its input says, up to five.
func finder() *infertest.Fake {
	return &infertest.Fake{
		Inputs:  []tensor.Spec{{Name: "image", Type: tensor.Float32, Shape: []int{1, 3, 4, 4}}},
		Outputs: []tensor.Spec{{Name: "boxes", Type: tensor.Float32, Shape: []int{-1, 4}, Most: 20}},
		Answer: func(in, out []tensor.Tensor) error {
			n := int(in[0].Float32s()[0])
			if n > 5 {
				return &infer.Refused{Detail: "The answer has no room.", Remedy: "Raise max_elements.", Err: errors.New("no room")}
			}
			var err error
			out[0], err = tensor.New("boxes", tensor.Float32, n, 4)
			out[0].Fill(float64(n))
			return err
		},
	}
}

func finders(shape string) models.Files {
	return edited("model.yaml", func(b []byte) []byte {
		text := string(b)
		text = strings.Replace(text, "{name: scores, datatype: FP32, shape: [1, 2]}", "{name: boxes, datatype: FP32, shape: "+shape+"}", 1)
		text = strings.Replace(text, "postprocess: {kind: classification, top: 1}\n", "", 1)
		return []byte(strings.Replace(text, "selftest: {image: photo.jpg, expect: [{label: dog, min_score: 0.5}]}\n", "", 1))
	})
}

// TestOpenOutputs serves a model that gives as much as it finds.
func TestOpenOutputs(t *testing.T) {
	kept := &kept{answers: map[[32]byte][]byte{}}
	r := started(t, models.Config{Backends: []infer.Backend{finder()}, Embedded: map[string]models.Files{"pets": finders("[-1, 4]")}, Results: kept})
	m, err := r.Metadata("pets", "")
	if err != nil || !slices.Equal(m.Outputs[0].Shape, []int{-1, 4}) {
		t.Errorf("it is described as %+v, %v", m.Outputs, err)
	}
	ask := func(n int) (infer.Response, error) {
		in, err := tensor.New("image", tensor.Float32, 1, 3, 4, 4)
		if err != nil {
			t.Fatal(err)
		}
		in.Fill(float64(n))
		return r.Infer(t.Context(), "pets", "", infer.Request{Inputs: []tensor.Tensor{in}})
	}
	for _, n := range []int{3, 0, 5, 3, 0} {
		got, err := ask(n)
		if err != nil || !slices.Equal(got.Outputs[0].Shape, []int{n, 4}) || len(got.Outputs[0].Data) != 16*n || got.Outputs[0].Check() != nil {
			t.Errorf("of %d there are %+v, %v", n, got.Outputs, err)
		}
	}
	if got, err := ask(3); err != nil || got.Cache != infer.Hit || !slices.Equal(got.Outputs[0].Float32s()[:2], []float32{3, 3}) {
		t.Errorf("what was kept is %+v, %v", got, err)
	}
	if _, err := ask(6); !problem.Is(err, problem.Invalid) || !strings.Contains(fmt.Sprint(err), "no room") {
		t.Errorf("more than there is room for: %v", err)
	}
	fixed := served(t, finders("[5, 4]"), finder())
	if _, err := fixed.Metadata("pets", ""); err == nil || !strings.Contains(err.Error(), "[5 4] in the manifest and FP32 [-1 4] in the model") {
		t.Errorf("a manifest that has it fixed: %v", err)
	}
	if _, err := served(t, finders("[-1, -1]"), finder()).Metadata("pets", ""); err != nil {
		t.Errorf("a manifest that leaves more to the data: %v", err)
	}
}
