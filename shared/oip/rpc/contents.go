package rpc

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/problem"
	"primespark/shared/tensor"
)

// A column is the field of InferTensorContents for a datatype.
type column struct {
	num  protowire.Number
	name string
	typ  protowire.Type // of one element
}

var columns = map[tensor.Type]column{
	tensor.Bool:    {1, "bool_contents", protowire.VarintType},
	tensor.Int8:    {2, "int_contents", protowire.VarintType},
	tensor.Int16:   {2, "int_contents", protowire.VarintType},
	tensor.Int32:   {2, "int_contents", protowire.VarintType},
	tensor.Int64:   {3, "int64_contents", protowire.VarintType},
	tensor.Uint8:   {4, "uint_contents", protowire.VarintType},
	tensor.Uint16:  {4, "uint_contents", protowire.VarintType},
	tensor.Uint32:  {4, "uint_contents", protowire.VarintType},
	tensor.Uint64:  {5, "uint64_contents", protowire.VarintType},
	tensor.Float32: {6, "fp32_contents", protowire.Fixed32Type},
	tensor.Float64: {7, "fp64_contents", protowire.Fixed64Type},
	tensor.Bytes:   {8, "bytes_contents", protowire.BytesType},
}

// lastColumn is the last field of InferTensorContents.
const lastColumn = 8

// typed makes the data of t of its contents, of which there may be several parts:
// a message that is there twice is one with the fields of both. No more than left
// bytes are made, which is lowered by as many.
func typed(t *tensor.Tensor, parts [][]byte, left *int) error {
	col, ok := columns[t.Type]
	if !ok {
		return misfit(t, "Send the inputs as raw_input_contents.", "has the datatype "+string(t.Type)+", which has no typed contents")
	}
	t.Data = []byte{}
	for _, part := range parts {
		err := fields(part, func(f field) error {
			switch {
			case f.num > lastColumn || f.typ == protowire.BytesType && f.num != 8 && len(f.data) == 0:
				return nil
			case f.num != col.num:
				return misfit(t, "Put it there, or send the inputs as raw_input_contents.",
					"has no data in "+col.name+" but in another field, and its datatype is "+string(t.Type))
			case col.typ == protowire.BytesType:
				if f.typ != protowire.BytesType {
					return nil
				}
				if err := spend(t, 4+len(f.data), left); err != nil {
					return err
				}
				t.Data = append(binary.LittleEndian.AppendUint32(t.Data, uint32(len(f.data))), f.data...)
				return nil
			}
			return f.numbers(col.typ, func(v uint64) error { return put(t, v, left) })
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// put appends one number to t's data.
func put(t *tensor.Tensor, v uint64, left *int) error {
	size := t.Type.Size()
	if err := spend(t, size, left); err != nil {
		return err
	}
	whole := int64(int32(v)) // an int32 field holds its value in 64 bits
	fits := true
	switch t.Type {
	case tensor.Bool:
		v = protowire.EncodeBool(v != 0)
	case tensor.Int8:
		fits = whole >= math.MinInt8 && whole <= math.MaxInt8
	case tensor.Int16:
		fits = whole >= math.MinInt16 && whole <= math.MaxInt16
	case tensor.Uint8:
		fits = uint32(v) <= math.MaxUint8
	case tensor.Uint16:
		fits = uint32(v) <= math.MaxUint16
	}
	if !fits {
		return misfit(t, "Send what the datatype can hold.", "has a number that "+string(t.Type)+" cannot hold")
	}
	switch size {
	case 1:
		t.Data = append(t.Data, byte(v))
	case 2:
		t.Data = binary.LittleEndian.AppendUint16(t.Data, uint16(v))
	case 4:
		t.Data = binary.LittleEndian.AppendUint32(t.Data, uint32(v))
	default:
		t.Data = binary.LittleEndian.AppendUint64(t.Data, v)
	}
	return nil
}

// spend takes n bytes off what typed contents may become: a byte on the wire can
// be eight of a tensor.
func spend(t *tensor.Tensor, n int, left *int) error {
	if n > *left {
		return problem.New(problem.TooLarge, "Send the inputs as raw_input_contents, or as a JPEG if the model takes images.",
			"Input %q is too large to be sent as typed contents.", clip(t.Name))
	}
	*left -= n
	return nil
}

func misfit(t *tensor.Tensor, remedy, what string) error {
	return problem.New(problem.Invalid, remedy, "Input %q %s.", clip(t.Name), what)
}

// appendContents appends t's elements as an InferTensorContents, in field num.
// The data fits the type and the shape, and the type has a column.
func appendContents(b []byte, num protowire.Number, t tensor.Tensor) ([]byte, error) {
	col := columns[t.Type]
	var inner []byte
	if t.Type == tensor.Bytes {
		elements, err := t.Elements()
		if err != nil {
			return b, err
		}
		for _, e := range elements {
			inner = appendElement(inner, col.num, e)
		}
	} else if len(t.Data) > 0 {
		inner = appendElement(nil, col.num, packed(t))
	}
	return appendElement(b, num, inner), nil
}

// packed is t's data as a packed repeated field.
func packed(t tensor.Tensor) []byte {
	if columns[t.Type].typ != protowire.VarintType {
		return t.Data // little-endian on both sides
	}
	le := binary.LittleEndian
	b := make([]byte, 0, len(t.Data))
	for at, size := 0, t.Type.Size(); at < len(t.Data); at += size {
		e := t.Data[at:]
		var v uint64
		switch t.Type {
		case tensor.Int8:
			v = uint64(int8(e[0]))
		case tensor.Int16:
			v = uint64(int16(le.Uint16(e)))
		case tensor.Int32:
			v = uint64(int32(le.Uint32(e)))
		case tensor.Bool, tensor.Uint8:
			v = uint64(e[0])
		case tensor.Uint16:
			v = uint64(le.Uint16(e))
		case tensor.Uint32:
			v = uint64(le.Uint32(e))
		default:
			v = le.Uint64(e)
		}
		b = protowire.AppendVarint(b, v)
	}
	return b
}

// clip shortens what a client sent to a length that fits an error text.
func clip(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
