package tensor

import (
	"encoding/binary"
	"math"
)

// Fill makes each element v, which is cut to a whole number where the type has only
// those. It leaves 16-bit floats and BYTES as they are.
func (t Tensor) Fill(v float64) {
	var b [8]byte
	le := binary.LittleEndian
	switch t.Type {
	case Bool:
		if v != 0 {
			b[0] = 1
		}
	case Float32:
		le.PutUint32(b[:], math.Float32bits(float32(v)))
	case Float64:
		le.PutUint64(b[:], math.Float64bits(v))
	case Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64:
		le.PutUint64(b[:], uint64(int64(v))) // the lowest bytes are the smaller types'
	default:
		return
	}
	for size, at := t.Type.Size(), 0; at < len(t.Data); at += size {
		copy(t.Data[at:], b[:size])
	}
}
