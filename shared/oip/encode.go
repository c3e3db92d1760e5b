package oip

import (
	"encoding/binary"
	"maps"
	"math"
	"strconv"
	"unicode/utf8"

	"primespark/shared/tensor"
)

const hexDigits = "0123456789abcdef"

// appendText writes s as a JSON string. What is not UTF-8 in it becomes U+FFFD;
// a tensor's elements are checked before.
func appendText[S string | []byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	from := 0 // of what is written as it is, and not yet
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < utf8.RuneSelf:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			r, n := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			dst = utf8.AppendRune(dst, r)
			i += n - 1
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

// appendFloat writes the shortest text that reads back as v, which is finite.
func appendFloat(dst []byte, v float64, bits int) []byte {
	return strconv.AppendFloat(dst, v, 'g', -1, bits)
}

func appendShape(dst []byte, shape []int) []byte {
	dst = append(dst, '[')
	for i, n := range shape {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(n), 10)
	}
	return append(dst, ']')
}

// appendTensor writes t as an object of the protocol: with its data, flat, or
// with the size of its binary data.
func appendTensor(dst []byte, t tensor.Tensor, params Params, binary bool) ([]byte, error) {
	dst = appendText(append(dst, `{"name":`...), t.Name)
	dst = appendText(append(dst, `,"datatype":`...), string(t.Type))
	dst = appendShape(append(dst, `,"shape":`...), t.Shape)
	if binary {
		p := Params{}
		maps.Copy(p, params)
		p[ParamBinarySize] = int64(len(t.Data))
		return append(p.append(append(dst, `,"parameters":`...)), '}'), nil
	}
	if len(params) > 0 {
		dst = params.append(append(dst, `,"parameters":`...))
	}
	dst, err := appendData(append(dst, `,"data":[`...), t)
	return append(dst, ']', '}'), err
}

func appendData(dst []byte, t tensor.Tensor) ([]byte, error) {
	if t.Type == tensor.Bytes {
		return appendElements(dst, t)
	}
	size := t.Type.Size()
	var err error
	for i := range len(t.Data) / size {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendElement(dst, t, i, t.Data[i*size:(i+1)*size]); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func appendElement(dst []byte, t tensor.Tensor, i int, b []byte) ([]byte, error) {
	le := binary.LittleEndian
	switch t.Type {
	case tensor.Bool:
		return strconv.AppendBool(dst, b[0] != 0), nil
	case tensor.Uint8:
		return strconv.AppendUint(dst, uint64(b[0]), 10), nil
	case tensor.Uint16:
		return strconv.AppendUint(dst, uint64(le.Uint16(b)), 10), nil
	case tensor.Uint32:
		return strconv.AppendUint(dst, uint64(le.Uint32(b)), 10), nil
	case tensor.Uint64:
		return strconv.AppendUint(dst, le.Uint64(b), 10), nil
	case tensor.Int8:
		return strconv.AppendInt(dst, int64(int8(b[0])), 10), nil
	case tensor.Int16:
		return strconv.AppendInt(dst, int64(int16(le.Uint16(b))), 10), nil
	case tensor.Int32:
		return strconv.AppendInt(dst, int64(int32(le.Uint32(b))), 10), nil
	case tensor.Int64:
		return strconv.AppendInt(dst, int64(le.Uint64(b)), 10), nil
	case tensor.Float32:
		return appendFinite(dst, t, i, float64(math.Float32frombits(le.Uint32(b))), 32)
	case tensor.Float64:
		return appendFinite(dst, t, i, math.Float64frombits(le.Uint64(b)), 64)
	}
	return dst, invalid(askBinary, "Tensor %q is %s, which has no form in JSON.", clip(t.Name), t.Type)
}

const askBinary = `Use binary data: {"parameters": {"binary_data_output": true}} asks for it.`

func appendFinite(dst []byte, t tensor.Tensor, i int, v float64, bits int) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return dst, invalid(askBinary, "Tensor %q has %v at element %d, which has no form in JSON.", clip(t.Name), v, i)
	}
	return appendFloat(dst, v, bits), nil
}

func appendElements(dst []byte, t tensor.Tensor) ([]byte, error) {
	elements, err := t.Elements()
	if err != nil {
		return dst, err
	}
	for i, e := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !utf8.Valid(e) {
			return dst, invalid(askBinary, "Tensor %q has bytes that are no UTF-8 at element %d, which have no form in JSON.", clip(t.Name), i)
		}
		dst = appendText(dst, e)
	}
	return dst, nil
}
