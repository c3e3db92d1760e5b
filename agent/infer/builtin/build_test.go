package builtin

import (
	"encoding/binary"
	"math"
	"slices"

	"primespark/agent/infer/builtin/onnx"
)

// A draft is a small ONNX file in the making.
type draft struct {
	opset int
	graph []byte
}

func message(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := uint64(fields[i].(int))
		tag := func(wire uint64) { b = binary.AppendUvarint(b, num<<3|wire) }
		switch v := fields[i+1].(type) {
		case int:
			tag(0)
			b = binary.AppendUvarint(b, uint64(v))
		case float32:
			tag(5)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		case string:
			tag(2)
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		case []byte:
			tag(2)
			b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
		}
	}
	return b
}

func info(name string, typ onnx.Type, dims ...int) []byte {
	var shape []byte
	for _, d := range dims {
		if d < 0 {
			shape = append(shape, message(1, message(2, "N"))...)
		} else {
			shape = append(shape, message(1, message(1, d))...)
		}
	}
	return message(1, name, 2, message(1, message(1, int(typ), 2, shape)))
}

func (d *draft) input(name string, typ onnx.Type, dims ...int) *draft {
	d.graph = append(d.graph, message(11, info(name, typ, dims...))...)
	return d
}

func (d *draft) output(name string) *draft {
	d.graph = append(d.graph, message(12, message(1, name))...)
	return d
}

// floats adds a constant of which every element is v.
func (d *draft) floats(name string, v float32, dims ...int) *draft {
	return d.constant(name, slices.Repeat([]float32{v}, product(dims)), dims...)
}

func (d *draft) constant(name string, elements []float32, dims ...int) *draft {
	t := message(8, name, 2, int(onnx.Float))
	for _, n := range dims {
		t = append(t, message(1, n)...)
	}
	for _, v := range elements {
		t = append(t, message(4, v)...)
	}
	d.graph = append(d.graph, message(5, t)...)
	return d
}

func (d *draft) ints(name string, v ...int) *draft {
	t := message(8, name, 2, int(onnx.Int64), 1, len(v))
	for _, x := range v {
		t = append(t, message(7, x)...)
	}
	d.graph = append(d.graph, message(5, t)...)
	return d
}

// node adds an operation; attributes are names and values: an int, a float32, a
// string, a list of ints or the graph of another draft.
func (d *draft) node(op string, in []string, out string, attrs ...any) *draft {
	var n []byte
	for _, name := range in {
		n = append(n, message(1, name)...)
	}
	n = append(n, message(2, out, 4, op)...)
	for i := 0; i < len(attrs); i += 2 {
		a := message(1, attrs[i].(string))
		switch v := attrs[i+1].(type) {
		case int:
			a = append(a, message(3, v)...)
		case float32:
			a = append(a, message(2, v)...)
		case string:
			a = append(a, message(4, v)...)
		case *draft:
			a = append(a, message(6, v.graph)...)
		case []int:
			for _, x := range v {
				a = append(a, message(8, x)...)
			}
		}
		n = append(n, message(5, a)...)
	}
	d.graph = append(d.graph, message(1, n)...)
	return d
}

func (d *draft) file() []byte {
	if d.opset == 0 {
		d.opset = 13
	}
	return message(1, 8, 8, message(2, d.opset), 7, d.graph)
}

func in(names ...string) []string { return names }
