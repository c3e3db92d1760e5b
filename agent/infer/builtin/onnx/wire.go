package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
)

// Wire types of protobuf ("Encoding", Message Structure). The two group types
// are deprecated, ONNX has none, and they are refused.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

var errShort = errors.New("the message ends in the middle of a field")

// A field is one field of a message. Data is the payload of a wireBytes field
// and shares the file's memory; value is the number of the other kinds.
type field struct {
	num   int
	wire  int
	value uint64
	data  []byte
}

// fields iterates over the fields of a message, and ends after the first error.
func fields(msg []byte) iter.Seq2[field, error] {
	return func(yield func(field, error) bool) {
		for len(msg) > 0 {
			f, n, err := next(msg)
			if !yield(f, err) || err != nil {
				return
			}
			msg = msg[n:]
		}
	}
}

// next reads the field that msg begins with, and tells its length.
func next(msg []byte) (f field, n int, err error) {
	tag, n := binary.Uvarint(msg)
	if n <= 0 || tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return f, 0, errors.New("no field tag where one should be")
	}
	f.num, f.wire = int(tag>>3), int(tag&7)
	rest := msg[n:]
	switch f.wire {
	case wireVarint:
		v, m := binary.Uvarint(rest)
		if m <= 0 {
			return f, 0, errShort
		}
		f.value = v
		return f, n + m, nil
	case wireFixed64:
		if len(rest) < 8 {
			return f, 0, errShort
		}
		f.value = binary.LittleEndian.Uint64(rest)
		return f, n + 8, nil
	case wireFixed32:
		if len(rest) < 4 {
			return f, 0, errShort
		}
		f.value = uint64(binary.LittleEndian.Uint32(rest))
		return f, n + 4, nil
	case wireBytes:
		size, m := binary.Uvarint(rest)
		if m <= 0 || size > uint64(len(rest)-m) {
			return f, 0, errShort
		}
		end := m + int(size)
		f.data = rest[m:end:end]
		return f, n + end, nil
	}
	return f, 0, fmt.Errorf("field %d has wire type %d, which ONNX does not use", f.num, f.wire)
}

// want returns an error unless f is of the wire type that onnx.proto3 gives it.
func (f field) want(wire int) error {
	if f.wire != wire {
		return fmt.Errorf("field %d has wire type %d, want %d", f.num, f.wire, wire)
	}
	return nil
}

// name reads a string field that is a name or a short word.
func (f field) name() (string, error) {
	if err := f.want(wireBytes); err != nil {
		return "", err
	}
	if len(f.data) > MaxName {
		return "", fmt.Errorf("field %d is a name of %d bytes, at most %d are read", f.num, len(f.data), MaxName)
	}
	return string(f.data), nil
}

// ints appends a repeated integer field, packed or not, to dst.
func (f field) ints(dst []int64) ([]int64, error) {
	if f.wire == wireVarint {
		return append(dst, int64(f.value)), nil
	}
	if err := f.want(wireBytes); err != nil {
		return nil, err
	}
	if dst == nil {
		dst = make([]int64, 0, varints(f.data))
	}
	for b := f.data; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return nil, errShort
		}
		dst = append(dst, int64(v))
		b = b[n:]
	}
	return dst, nil
}

// varints counts the varints of a packed field: their last bytes.
func varints(b []byte) (n int) {
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}

// floats appends a repeated float field, packed or not, to dst.
func (f field) floats(dst []float32) ([]float32, error) {
	if f.wire == wireFixed32 {
		return append(dst, math.Float32frombits(uint32(f.value))), nil
	}
	if err := f.want(wireBytes); err != nil {
		return nil, err
	}
	if len(f.data)%4 != 0 {
		return nil, errShort
	}
	if dst == nil {
		dst = make([]float32, 0, len(f.data)/4)
	}
	for b := f.data; len(b) > 0; b = b[4:] {
		dst = append(dst, math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return dst, nil
}
