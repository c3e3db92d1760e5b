package hailo_test

import (
	"os"
	"strings"
	"testing"

	"primespark/hailo/workertest"
	"primespark/shared/tensor"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], asParent) {
		parent(strings.TrimPrefix(os.Args[1], asParent))
		return
	}
	workertest.Main(m)
}

// float reads the first number of an output.
func float(b []byte) float32 {
	return tensor.Tensor{Type: tensor.Float32, Data: append([]byte(nil), b...)}.Float32s()[0]
}
