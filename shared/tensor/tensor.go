// Package tensor is the data that models eat and give: a typed, shaped block of
// bytes, in the layout of the Open Inference Protocol's binary tensor extension,
// which is also how it stands in memory and in a worker's arena.
package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// A Type names the element type of a tensor, in the spelling of the Open
// Inference Protocol v2 ("Tensor Data Types").
type Type string

// The element types of the protocol.
const (
	Bool    Type = "BOOL"
	Uint8   Type = "UINT8"
	Uint16  Type = "UINT16"
	Uint32  Type = "UINT32"
	Uint64  Type = "UINT64"
	Int8    Type = "INT8"
	Int16   Type = "INT16"
	Int32   Type = "INT32"
	Int64   Type = "INT64"
	Float16 Type = "FP16"
	BF16    Type = "BF16"
	Float32 Type = "FP32"
	Float64 Type = "FP64"
	Bytes   Type = "BYTES" // each element a 4-byte little-endian length, then that many bytes
)

var sizes = map[Type]int{
	Bool: 1, Uint8: 1, Int8: 1, Uint16: 2, Int16: 2, Float16: 2, BF16: 2,
	Uint32: 4, Int32: 4, Float32: 4, Uint64: 8, Int64: 8, Float64: 8, Bytes: 0,
}

// Size is the number of bytes of one element, 0 for Bytes, whose elements vary.
func (t Type) Size() int { return sizes[t] }

// Valid reports whether t is a type of the protocol.
func (t Type) Valid() bool { _, ok := sizes[t]; return ok }

// MaxElements bounds the elements of one tensor (a 1×3×4096×4096 image four
// times over), so that no product of dimensions overflows on any platform.
const MaxElements = 1 << 28

// ErrTooLarge means that a shape has more than MaxElements elements.
var ErrTooLarge = errors.New("tensor has too many elements")

// A Spec describes a tensor without its data. A dimension of -1 may be anything.
type Spec struct {
	Name  string `json:"name" yaml:"name"`
	Type  Type   `json:"datatype" yaml:"datatype"`
	Shape []int  `json:"shape" yaml:"shape,flow"`
	// Sample is what each element is when a model is tried out with nothing to go by.
	Sample float64 `json:"-" yaml:"-"`
	// Most is how many elements a tensor may have whose shape has -1; 0 if nobody knows.
	Most int `json:"-" yaml:"-"`
}

// Open reports whether the shape has -1.
func (s Spec) Open() bool { return slices.Contains(s.Shape, -1) }

// Fits reports, in words, why a tensor of type t and shape cannot stand for s,
// or nil.
func (s Spec) Fits(t Type, shape []int) error {
	if t != s.Type {
		return fmt.Errorf("tensor %q has datatype %s, want %s", s.Name, t, s.Type)
	}
	ok := len(shape) == len(s.Shape)
	for i := 0; ok && i < len(shape); i++ {
		ok = shape[i] == s.Shape[i] || s.Shape[i] == -1 && shape[i] >= 0
	}
	if !ok {
		return fmt.Errorf("tensor %q has shape %v, want %v", s.Name, shape, s.Shape)
	}
	return nil
}

// A Tensor is a block of data. Data is little-endian and row-major; the Go
// views below share its memory.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int
	Data  []byte
}

// Count returns the number of elements of a shape, or an error for a negative
// dimension or more than MaxElements. A shape of no dimensions is one element.
func Count(shape []int) (int, error) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("negative dimension in shape %v", shape)
		}
		if d > 0 && n > MaxElements/d {
			return 0, fmt.Errorf("shape %v: %w", shape, ErrTooLarge)
		}
		n *= d
	}
	return n, nil
}

// New returns a zeroed tensor of a fixed-size type, aligned for every Go view.
func New(name string, t Type, shape ...int) (Tensor, error) {
	n, err := Count(shape)
	if err != nil {
		return Tensor{}, fmt.Errorf("tensor %q: %w", name, err)
	}
	if t.Size() == 0 {
		return Tensor{}, fmt.Errorf("tensor %q: datatype %q has no fixed size", name, t)
	}
	return Tensor{name, t, slices.Clone(shape), aligned(n * t.Size())}, nil
}

// aligned returns n zero bytes at an address that is a multiple of eight.
func aligned(n int) []byte {
	if n == 0 {
		return []byte{}
	}
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), n)
}

// Check reports whether the length of Data agrees with the type and the shape.
func (t Tensor) Check() error {
	if !t.Type.Valid() {
		return fmt.Errorf("tensor %q: unknown datatype %q", t.Name, t.Type)
	}
	n, err := Count(t.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	if t.Type == Bytes {
		got, err := elements(t.Data, nil)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if got != n {
			return fmt.Errorf("tensor %q holds %d elements, want %d for shape %v", t.Name, got, n, t.Shape)
		}
		return nil
	}
	if want := n * t.Type.Size(); len(t.Data) != want {
		return fmt.Errorf("tensor %q has %d bytes of data, want %d for %s %v", t.Name, len(t.Data), want, t.Type, t.Shape)
	}
	return nil
}

// Float32s views an FP32 tensor's data. It shares memory with the tensor when
// that is aligned, as all tensors made by New are, and copies otherwise.
func (t Tensor) Float32s() []float32 { return view[float32](t, Float32) }

// Int64s views an INT64 tensor's data, as Float32s does.
func (t Tensor) Int64s() []int64 { return view[int64](t, Int64) }

// FromFloat32s returns a tensor over the memory of v, which has the shape's
// number of elements.
func FromFloat32s(name string, v []float32, shape ...int) Tensor {
	var b []byte
	if len(v) > 0 {
		b = unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), 4*len(v))
	}
	return Tensor{name, Float32, slices.Clone(shape), b}
}

func view[E any](t Tensor, want Type) []E {
	if t.Type != want {
		panic(fmt.Sprintf("tensor %q is %s, not %s", t.Name, t.Type, want))
	}
	var e E
	size := int(unsafe.Sizeof(e))
	n := len(t.Data) / size
	if n == 0 {
		return nil
	}
	data := t.Data
	if uintptr(unsafe.Pointer(&data[0]))%unsafe.Alignof(e) != 0 {
		data = aligned(n * size)
		copy(data, t.Data)
	}
	return unsafe.Slice((*E)(unsafe.Pointer(&data[0])), n)
}

// FromBytes returns a BYTES tensor of shape [len(elements)].
func FromBytes(name string, elements ...[]byte) Tensor {
	size := 0
	for _, e := range elements {
		size += 4 + len(e)
	}
	data := make([]byte, 0, size)
	for _, e := range elements {
		data = binary.LittleEndian.AppendUint32(data, uint32(len(e)))
		data = append(data, e...)
	}
	return Tensor{name, Bytes, []int{len(elements)}, data}
}

// Elements returns the elements of a BYTES tensor; they share its memory.
func (t Tensor) Elements() ([][]byte, error) {
	if t.Type != Bytes {
		return nil, fmt.Errorf("tensor %q is %s, not BYTES", t.Name, t.Type)
	}
	var out [][]byte
	if _, err := elements(t.Data, func(e []byte) { out = append(out, e) }); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
	}
	return out, nil
}

func elements(data []byte, each func([]byte)) (n int, err error) {
	for len(data) > 0 {
		if len(data) < 4 {
			return n, errors.New("BYTES data ends within a length")
		}
		size := binary.LittleEndian.Uint32(data)
		data = data[4:]
		if uint64(size) > uint64(len(data)) || size > math.MaxInt32 {
			return n, fmt.Errorf("BYTES element %d wants %d bytes, %d are left", n, size, len(data))
		}
		if each != nil {
			each(data[:size:size])
		}
		data = data[size:]
		n++
	}
	return n, nil
}
