package rpc

import (
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"primespark/shared/oip"
	"primespark/shared/tensor"
)

// A message is an encoded one in parts, so that tensors are not copied into it.
type message [][]byte

func (m message) size() (n int) {
	for _, part := range m {
		n += len(part)
	}
	return n
}

// in wraps m as field num of another message.
func (m message) in(num protowire.Number) message {
	head := protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.BytesType), uint64(m.size()))
	return append(message{head}, m...)
}

// inferResponse encodes a ModelInferResponse, raw or typed. It is raw all the
// same if an output has no typed form.
func inferResponse(r *oip.Response, asTyped bool) (message, error) {
	asTyped = asTyped && !slices.ContainsFunc(r.Outputs, func(t tensor.Tensor) bool {
		_, ok := columns[t.Type]
		return !ok
	})
	var b []byte
	b = appendString(b, 1, r.Model)
	b = appendString(b, 2, r.Version)
	b = appendString(b, 3, r.ID)
	b = appendParams(b, 4, r.Params)
	for _, t := range r.Outputs {
		out := appendShape(appendString(appendString(nil, 1, t.Name), 2, string(t.Type)), 3, t.Shape)
		if asTyped {
			var err error
			if out, err = appendContents(out, 5, t); err != nil {
				return nil, err
			}
		}
		b = appendElement(b, 5, out)
	}
	m := message{b}
	if !asTyped {
		for _, t := range r.Outputs {
			head := protowire.AppendVarint(protowire.AppendTag(nil, 6, protowire.BytesType), uint64(len(t.Data)))
			m = append(m, head, t.Data)
		}
	}
	return m, nil
}

func appendParams(b []byte, num protowire.Number, p oip.Params) []byte {
	names := make([]string, 0, len(p))
	for name := range p {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var value []byte
		switch v := p[name].(type) {
		case bool: // a member of a oneof is there even if it is zero
			value = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), protowire.EncodeBool(v))
		case int64:
			value = protowire.AppendVarint(protowire.AppendTag(nil, 2, protowire.VarintType), uint64(v))
		case string:
			value = appendElement(nil, 3, v)
		case float64:
			value = protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), math.Float64bits(v))
		}
		b = appendElement(b, num, appendElement(appendString(nil, 1, name), 2, value))
	}
	return b
}

// streamError encodes the ModelStreamInferResponse of a request that was refused.
func streamError(text string, of *inference) message {
	inner := appendString(nil, 1, of.model)
	inner = appendString(inner, 2, of.version)
	inner = appendString(inner, 3, of.request.ID)
	return message{appendElement(appendString(nil, 1, text), 2, inner)}
}
