package hef

import (
	"encoding/binary"
	"errors"
	"math"
)

// field is one field of a protobuf message.
type field struct {
	number int
	value  uint64 // of a number, in its raw bits
	bytes  []byte // of everything that has a length; nil of a number
}

var errProto = errors.New("its description is no protobuf")

// fields calls fn for each field of a message, in order, and stops at the first
// error. Groups, which protobuf gave up long ago, are refused.
func fields(b []byte, fn func(field) error) error {
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 || key>>3 == 0 || key>>3 > 1<<29 {
			return errProto
		}
		b = b[n:]
		f := field{number: int(key >> 3)}
		size := 0 // of what is taken from b
		switch key & 7 {
		case 0:
			f.value, size = binary.Uvarint(b)
			if size <= 0 {
				return errProto
			}
		case 1:
			if size = 8; len(b) < size {
				return errProto
			}
			f.value = binary.LittleEndian.Uint64(b)
		case 2:
			length, n := binary.Uvarint(b)
			if n <= 0 || length > uint64(len(b)-n) {
				return errProto
			}
			size = n + int(length)
			f.bytes = b[n:size:size]
		case 5:
			if size = 4; len(b) < size {
				return errProto
			}
			f.value = uint64(binary.LittleEndian.Uint32(b))
		default:
			return errProto
		}
		b = b[size:]
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) float() float64  { return float64(math.Float32frombits(uint32(f.value))) }
func (f field) double() float64 { return math.Float64frombits(f.value) }

// count is a small number; a larger one becomes a value that check refuses.
func (f field) count() int { return int(min(f.value, maxSide+1)) }

func (f field) text() (string, error) {
	if len(f.bytes) > 4*maxName {
		return "", errors.New("a name in it is too long")
	}
	return string(f.bytes), nil
}
