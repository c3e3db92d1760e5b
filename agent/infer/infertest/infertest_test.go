package infertest_test

import (
	"testing"
	"time"

	"primespark/agent/infer/infertest"
	"primespark/shared/tensor"
)

func TestFake(t *testing.T) {
	infertest.TestBackend(t, &infertest.Fake{
		Inputs:  []tensor.Spec{{Name: "in", Type: tensor.Float32, Shape: []int{1, 3, 4, 4}}},
		Outputs: []tensor.Spec{{Name: "out", Type: tensor.Float32, Shape: []int{1, 10}}},
		Cost:    time.Millisecond,
	}, []byte(infertest.Model+"weights"))
}
