package models_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/models"
	"primespark/shared/tensor"
)

// TestSample: a model that chooses a part of itself by a number, and has none for zero, is
// ready once its manifest has that number.
func TestSample(t *testing.T) {
	for sample, want := range map[string]bool{"": false, ", sample: 16000": true} {
		rates := &infertest.Fake{
			Inputs:  []tensor.Spec{{Name: "sr", Type: tensor.Int64, Shape: []int{1}}},
			Outputs: []tensor.Spec{{Name: "y", Type: tensor.Float32, Shape: []int{1}}},
			Answer: func(in, _ []tensor.Tensor) error {
				if in[0].Int64s()[0] != 16000 {
					return errors.New("no such rate")
				}
				return nil
			},
		}
		files := models.Files{"net.fake": []byte(infertest.Model), "model.yaml": fmt.Appendf(nil, `apiVersion: edge/v1
kind: Model
name: voice
variants: [{engine: fake, file: net.fake, sha256: %x}]
inputs: [{name: sr, datatype: INT64, shape: [1]%s}]
outputs: [{name: y, datatype: FP32, shape: [1]}]
`, sha256.Sum256([]byte(infertest.Model)), sample)}
		r := started(t, models.Config{Backends: []infer.Backend{rates}, Embedded: map[string]models.Files{"voice": files}})
		if got := r.Ready("voice", ""); got != want {
			t.Errorf("%q: ready %t, want %t: %+v", sample, got, want, r.Index())
		}
		if s := r.Index()[0].Reason; !want && !strings.Contains(s, "no such rate") {
			t.Errorf("the reason is %q", s)
		}
	}
}
