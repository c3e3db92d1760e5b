package models

import (
	"bytes"
	"testing"

	"primespark/shared/tensor"
)

// Whatever the disk gives, what is read of it is tensors that hold together, and the
// same again.
func FuzzDecodeAnswer(f *testing.F) {
	t1, err := tensor.New("scores", tensor.Float32, 1, 3)
	if err != nil {
		f.Fatal(err)
	}
	good, ok := encodeAnswer([]tensor.Tensor{t1, tensor.FromBytes("classes", []byte("one"), nil)})
	if !ok {
		f.Fatal("it cannot be kept")
	}
	f.Add(good)
	f.Add([]byte{1, 0, 0, 64})
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := decodeAnswer(data)
		if err != nil {
			return
		}
		size := 0
		for _, x := range all {
			if err := x.Check(); err != nil {
				t.Errorf("%q: %v", x.Name, err)
			}
			size += len(x.Data)
		}
		if size > len(data) {
			t.Errorf("%d bytes of tensors out of %d", size, len(data))
		}
		again, ok := encodeAnswer(all)
		if !ok {
			return // larger than what is kept
		}
		if twice, err := decodeAnswer(again); err != nil || len(twice) != len(all) {
			t.Errorf("it is not the same again: %v", err)
		}
	})
}

func TestEncodeAnswerIsBounded(t *testing.T) {
	large, err := tensor.New("x", tensor.Uint8, maxAnswer)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := encodeAnswer([]tensor.Tensor{large}); ok {
		t.Error("an answer larger than is kept is encoded")
	}
	small, ok := encodeAnswer(nil)
	if got, err := decodeAnswer(small); !ok || err != nil || len(got) != 0 || !bytes.Equal(small, []byte{0}) {
		t.Errorf("no tensors: %v %v, %v", small, got, err)
	}
}
