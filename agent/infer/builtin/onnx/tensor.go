package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"primespark/shared/tensor"
)

// A Tensor is a constant. Its shape has been checked; its elements are decoded
// by Float32s and Int64s when they are wanted.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int

	hasRaw bool
	raw    []byte // shares the file's memory
	floats []float32
	ints   []int64 // int32_data and int64_data; also uint64_data
	double []byte  // packed double_data
}

// ReadTensor decodes a TensorProto by itself, as the files of ONNX's own test
// data are. The tensor shares b's memory.
func ReadTensor(b []byte) (*Tensor, error) {
	t := &Tensor{}
	var dims []int64
	for f, err := range fields(b) {
		if err != nil {
			return nil, err
		}
		switch f.num {
		case 1:
			dims, err = f.ints(dims)
		case 2:
			t.Type, err = Type(int32(f.value)), f.want(wireVarint)
		case 4:
			t.floats, err = f.floats(t.floats)
		case 5, 7, 11:
			t.ints, err = f.ints(t.ints)
		case 8:
			t.Name, err = f.name()
		case 9:
			t.raw, t.hasRaw, err = f.data, true, f.want(wireBytes)
		case 10:
			t.double, err = f.data, f.want(wireBytes)
		case 13:
			err = errors.New("external data is not read; save the model as one file")
		case 14:
			if f.value == 1 {
				err = errors.New("external data is not read; save the model as one file")
			}
		}
		if err != nil {
			return nil, t.wrap(err)
		}
	}
	return t, t.setShape(dims)
}

func (t *Tensor) setShape(dims []int64) error {
	if len(dims) > MaxRank {
		return t.wrap(fmt.Errorf("%d dimensions, at most %d are read", len(dims), MaxRank))
	}
	t.Shape = make([]int, len(dims))
	for i, d := range dims {
		if d < 0 || d > math.MaxInt32 {
			return t.wrap(fmt.Errorf("dimension %d is %d", i, d))
		}
		t.Shape[i] = int(d)
	}
	_, err := tensor.Count(t.Shape)
	return t.wrap(err)
}

func (t *Tensor) wrap(err error) error {
	if err == nil || t.Name == "" {
		return err
	}
	return fmt.Errorf("tensor %q: %w", t.Name, err)
}

// Len is the number of elements that the shape asks for.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// IsFloat reports whether the elements are of a floating-point type, and so
// decoded by Float32s.
func (t Type) IsFloat() bool { return t == Float || t == Float16 || t == Double }

// Float32s decodes a tensor of a floating-point type. The numbers of a double
// tensor are rounded.
func (t *Tensor) Float32s() ([]float32, error) {
	n := t.Len()
	if err := t.check(n); err != nil {
		return nil, err
	}
	out := make([]float32, n)
	switch {
	case t.Type == Float && t.hasRaw:
		for i := range out {
			out[i] = math.Float32frombits(binary.LittleEndian.Uint32(t.raw[4*i:]))
		}
	case t.Type == Float:
		copy(out, t.floats)
	case t.Type == Float16 && t.hasRaw:
		for i := range out {
			out[i] = Half(binary.LittleEndian.Uint16(t.raw[2*i:]))
		}
	case t.Type == Float16: // typed: the bits, in int32_data
		for i := range out {
			out[i] = Half(uint16(t.ints[i]))
		}
	case t.Type == Double:
		b := t.double
		if t.hasRaw {
			b = t.raw
		}
		for i := range out {
			out[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	default:
		return nil, t.wrap(fmt.Errorf("%v elements where floats are wanted", t.Type))
	}
	return out, nil
}

// Int64s decodes a tensor of an integer type or of bool (0 and 1). A uint64
// above the largest int64 comes out negative.
func (t *Tensor) Int64s() ([]int64, error) {
	n := t.Len()
	if err := t.check(n); err != nil {
		return nil, err
	}
	if t.Type.IsFloat() {
		return nil, t.wrap(fmt.Errorf("%v elements where integers are wanted", t.Type))
	}
	out := make([]int64, n)
	if !t.hasRaw {
		copy(out, t.ints)
		return out, nil
	}
	for i := range out {
		out[i] = t.integer(i)
	}
	return out, nil
}

func (t *Tensor) integer(i int) int64 {
	switch t.Type {
	case Uint8, Bool:
		return int64(t.raw[i])
	case Int8:
		return int64(int8(t.raw[i]))
	case Uint16:
		return int64(binary.LittleEndian.Uint16(t.raw[2*i:]))
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(t.raw[2*i:])))
	case Uint32:
		return int64(binary.LittleEndian.Uint32(t.raw[4*i:]))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(t.raw[4*i:])))
	}
	return int64(binary.LittleEndian.Uint64(t.raw[8*i:]))
}

// check reports whether the tensor holds exactly the n elements of its shape,
// so that nothing is allocated for a shape that has no data behind it.
func (t *Tensor) check(n int) error {
	k, ok := types[t.Type]
	if !ok || k.size == 0 {
		return t.wrap(fmt.Errorf("elements of %v are not supported", t.Type))
	}
	have, unit := len(t.ints), "numbers"
	switch {
	case t.hasRaw:
		have, n, unit = len(t.raw), n*k.size, "bytes"
	case t.Type == Float:
		have = len(t.floats)
	case t.Type == Double:
		have, n, unit = len(t.double), n*8, "bytes"
	}
	if have != n {
		return t.wrap(fmt.Errorf("%d %s of data, want %d for %v %v", have, unit, n, t.Type, t.Shape))
	}
	return nil
}

// Half widens an IEEE 754 half-precision number.
func Half(h uint16) float32 {
	sign, exp, frac := uint32(h>>15)<<31, uint32(h>>10)&31, uint32(h&1023)
	switch exp {
	case 31: // infinity, or not a number
		return math.Float32frombits(sign | 0x7f800000 | frac<<13)
	case 0: // zero and the subnormal numbers, steps of 2^-24
		return math.Float32frombits(sign | math.Float32bits(float32(frac)/(1<<24)))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
