package rpc

import (
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/problem"
)

// A field is one field of a message as it is on the wire (protobuf.dev,
// "Encoding").
type field struct {
	num   protowire.Number
	typ   protowire.Type
	value uint64 // of a varint or a fixed one
	data  []byte // of a length-delimited one; in the memory of the message
}

// fields calls each for every field of message. A field that each does not know,
// or not with its type, is to be skipped, as other readers do.
func fields(message []byte, each func(f field) error) error {
	for len(message) > 0 {
		num, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return garbled(n)
		}
		message = message[n:]
		f := field{num: num, typ: typ}
		var fixed32 uint32
		switch typ {
		case protowire.VarintType:
			f.value, n = protowire.ConsumeVarint(message)
		case protowire.Fixed32Type:
			fixed32, n = protowire.ConsumeFixed32(message)
			f.value = uint64(fixed32)
		case protowire.Fixed64Type:
			f.value, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(message)
		default: // groups, which no message of ours has
			n = protowire.ConsumeFieldValue(num, typ, message)
		}
		if n < 0 {
			return garbled(n)
		}
		message = message[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}

// is reports whether f is field num with type typ.
func (f field) is(num protowire.Number, typ protowire.Type) bool { return f.num == num && f.typ == typ }

// text returns a string field's value.
func (f field) text() (string, error) {
	if !utf8.Valid(f.data) {
		return "", problem.New(problem.Invalid, "Send UTF-8, or BYTES as raw contents.", "A string of the message is no UTF-8.")
	}
	return string(f.data), nil
}

// numbers calls each for every number of a repeated field of type typ, packed or not.
func (f field) numbers(typ protowire.Type, each func(v uint64) error) error {
	if f.typ == typ {
		return each(f.value)
	}
	if f.typ != protowire.BytesType {
		return nil // of another type: not this field
	}
	for b := f.data; len(b) > 0; {
		var v uint64
		var n int
		switch typ {
		case protowire.Fixed32Type:
			var v32 uint32
			v32, n = protowire.ConsumeFixed32(b)
			v = uint64(v32)
		case protowire.Fixed64Type:
			v, n = protowire.ConsumeFixed64(b)
		default:
			v, n = protowire.ConsumeVarint(b)
		}
		if n < 0 {
			return garbled(n)
		}
		if err := each(v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func garbled(n int) error {
	return &problem.Error{
		Code: problem.Invalid, Err: protowire.ParseError(n),
		Detail: "The message is not in the protocol buffers' wire format.",
		Remedy: "Make the client from the protocol's .proto file.",
	}
}

func appendString(b []byte, num protowire.Number, s string) []byte {
	if s == "" { // as proto3 has it: what is zero is left out
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

// appendElement appends one element of a repeated field, empty or not.
func appendElement[T string | []byte](b []byte, num protowire.Number, e T) []byte {
	b = protowire.AppendVarint(protowire.AppendTag(b, num, protowire.BytesType), uint64(len(e)))
	return append(b, e...)
}

func appendUint(b []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), v)
}

func appendBool(b []byte, num protowire.Number, v bool) []byte {
	return appendUint(b, num, protowire.EncodeBool(v))
}

func appendShape(b []byte, num protowire.Number, shape []int) []byte {
	if len(shape) == 0 {
		return b
	}
	var packed []byte
	for _, n := range shape {
		packed = protowire.AppendVarint(packed, uint64(n))
	}
	return appendElement(b, num, packed)
}
