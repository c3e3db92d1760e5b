package hailo_test

import (
	"testing"

	"primespark/hailo/workertest"
	"primespark/shared/tensor"
)

func TestMain(m *testing.M) { workertest.Main(m) }

// float reads the first number of an output.
func float(b []byte) float32 {
	return tensor.Tensor{Type: tensor.Float32, Data: append([]byte(nil), b...)}.Float32s()[0]
}
