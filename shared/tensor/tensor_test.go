package tensor_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"primespark/shared/tensor"
)

func ExampleFromBytes() {
	t := tensor.FromBytes("image", []byte("JPEG"), []byte("PNG"))
	elements, err := t.Elements()
	fmt.Printf("%v %q %v\n", t.Shape, elements, err)
	// Output: [2] ["JPEG" "PNG"] <nil>
}

func ExampleSpec_Fits() {
	images := tensor.Spec{Name: "images", Type: tensor.Float32, Shape: []int{-1, 3, 416, 416}}
	fmt.Println(images.Fits(tensor.Float32, []int{1, 3, 416, 416}))
	fmt.Println(images.Fits(tensor.Uint8, []int{1, 3, 416, 416}))
	fmt.Println(images.Fits(tensor.Float32, []int{3, 416, 416}))
	// Output:
	// <nil>
	// tensor "images" has datatype UINT8, want FP32
	// tensor "images" has shape [3 416 416], want [-1 3 416 416]
}

func TestCount(t *testing.T) {
	for name, test := range map[string]struct {
		shape []int
		want  int
		err   bool
	}{
		"scalar":          {nil, 1, false},
		"image":           {[]int{1, 3, 4, 5}, 60, false},
		"empty":           {[]int{3, 0, 5}, 0, false},
		"negative":        {[]int{3, -1}, 0, true},
		"most":            {[]int{tensor.MaxElements}, tensor.MaxElements, false},
		"one too many":    {[]int{tensor.MaxElements + 1}, 0, true},
		"would overflow":  {[]int{math.MaxInt, math.MaxInt, 4}, 0, true},
		"wraps to little": {[]int{1 << 32, 1 << 32}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tensor.Count(test.shape)
			if got != test.want && !test.err || (err != nil) != test.err {
				t.Errorf("Count = %d, %v, want %d, error %v", got, err, test.want, test.err)
			}
		})
	}
	if _, err := tensor.Count([]int{1 << 40}); !errors.Is(err, tensor.ErrTooLarge) {
		t.Errorf("err = %v, want ErrTooLarge", err)
	}
}

func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		in   tensor.Tensor
		want string
	}{
		"right":         {tensor.Tensor{Name: "x", Type: tensor.Float32, Shape: []int{2}, Data: make([]byte, 8)}, ""},
		"short":         {tensor.Tensor{Name: "x", Type: tensor.Float32, Shape: []int{2}, Data: make([]byte, 7)}, `tensor "x" has 7 bytes of data, want 8 for FP32 [2]`},
		"unknown type":  {tensor.Tensor{Name: "x", Type: "FP8", Shape: []int{2}}, `tensor "x": unknown datatype "FP8"`},
		"bytes right":   {tensor.FromBytes("x", []byte("a"), nil), ""},
		"bytes count":   {tensor.Tensor{Name: "x", Type: tensor.Bytes, Shape: []int{3}, Data: tensor.FromBytes("", []byte("a")).Data}, `tensor "x" holds 1 elements, want 3 for shape [3]`},
		"bytes cut":     {tensor.Tensor{Name: "x", Type: tensor.Bytes, Shape: []int{1}, Data: []byte{9, 0, 0, 0, 1}}, `tensor "x": BYTES element 0 wants 9 bytes, 1 are left`},
		"bytes no room": {tensor.Tensor{Name: "x", Type: tensor.Bytes, Shape: []int{1}, Data: []byte{9, 0}}, `tensor "x": BYTES data ends within a length`},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if err := test.in.Check(); err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestFloat32sSharesMemoryWhenAligned(t *testing.T) {
	x, err := tensor.New("x", tensor.Float32, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	x.Float32s()[5] = 1
	if !bytes.Equal(x.Data[20:], []byte{0, 0, 0x80, 0x3f}) {
		t.Errorf("data ends in % x, want 1.0 in little-endian", x.Data[20:])
	}
	odd := tensor.Tensor{Type: tensor.Float32, Shape: []int{1}, Data: append(make([]byte, 1, 8), 0, 0, 0x80, 0x3f)[1:]}
	if got := odd.Float32s()[0]; got != 1 {
		t.Errorf("an unaligned tensor reads as %v, want 1", got)
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := tensor.New("x", tensor.Bytes, 1); err == nil {
		t.Error("a BYTES tensor without elements was made")
	}
	if _, err := tensor.New("x", tensor.Float32, 1<<20, 1<<20); !errors.Is(err, tensor.ErrTooLarge) {
		t.Errorf("err = %v, want ErrTooLarge", err)
	}
}

func FuzzElements(f *testing.F) {
	f.Add(tensor.FromBytes("x", []byte("a"), nil, []byte("bcd")).Data)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		x := tensor.Tensor{Type: tensor.Bytes, Data: data}
		elements, err := x.Elements()
		if err != nil {
			return
		}
		if back := tensor.FromBytes("x", elements...); !bytes.Equal(back.Data, data) {
			t.Errorf("elements of % x go back to % x", data, back.Data)
		}
	})
}
