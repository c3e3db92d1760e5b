package builtin

import (
	"encoding/binary"
	"math"
	"unsafe"

	"primespark/agent/infer/builtin/onnx"
)

// raw views floats or int64s as the bytes of a tensor, which are little-endian, as
// is every machine that the engine is built for.
func raw[E float32 | int64](v []E) []byte {
	if len(v) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&v[0])), len(v)*int(unsafe.Sizeof(v[0])))
}

// read fills v with the elements of a tensor.
func (v *value) read(b []byte) {
	switch v.typ {
	case onnx.Float:
		copy(raw(v.f), b)
	case onnx.Int64:
		copy(raw(v.i), b)
	case onnx.Float16:
		for i := range v.f {
			v.f[i] = onnx.Half(binary.LittleEndian.Uint16(b[2*i:]))
		}
	case onnx.Double:
		for i := range v.f {
			v.f[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:])))
		}
	case onnx.Bool:
		for i := range v.i {
			v.i[i] = truth(b[i] != 0)
		}
	case onnx.Uint8, onnx.Int8:
		for i := range v.i {
			v.i[i] = cut(v.typ, int64(b[i]))
		}
	case onnx.Uint16, onnx.Int16:
		for i := range v.i {
			v.i[i] = cut(v.typ, int64(binary.LittleEndian.Uint16(b[2*i:])))
		}
	default:
		for i := range v.i {
			v.i[i] = cut(v.typ, int64(binary.LittleEndian.Uint32(b[4*i:])))
		}
	}
}

// write copies the elements of v to a tensor.
func (v *value) write(b []byte) {
	switch v.typ {
	case onnx.Float:
		copy(b, raw(v.f))
	case onnx.Int64:
		copy(b, raw(v.i))
	case onnx.Float16:
		for i, x := range v.f {
			binary.LittleEndian.PutUint16(b[2*i:], narrow(x))
		}
	case onnx.Double:
		for i, x := range v.f {
			binary.LittleEndian.PutUint64(b[8*i:], math.Float64bits(float64(x)))
		}
	case onnx.Bool, onnx.Uint8, onnx.Int8:
		for i, x := range v.i {
			b[i] = byte(x)
		}
	case onnx.Uint16, onnx.Int16:
		for i, x := range v.i {
			binary.LittleEndian.PutUint16(b[2*i:], uint16(x))
		}
	default:
		for i, x := range v.i {
			binary.LittleEndian.PutUint32(b[4*i:], uint32(x))
		}
	}
}

// narrow rounds to half precision, ties to even.
func narrow(x float32) uint16 {
	b := math.Float32bits(x)
	sign, b := uint16(b>>16)&0x8000, b&0x7fffffff
	switch {
	case b > 0x7f800000: // not a number
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x38800000: // below 2^-14: steps of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(b))*(1<<24)))
	}
	b -= 112 << 23
	b += 0xfff + b>>13&1
	return sign | uint16(b>>13)
}
