package onnx

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

// msg encodes a message of byte fields: number, content, number, content, …
func msg(fields ...any) []byte {
	var b []byte
	for i := 0; i < len(fields); i += 2 {
		num := uint64(fields[i].(int))
		switch v := fields[i+1].(type) {
		case int:
			b = binary.AppendUvarint(binary.AppendUvarint(b, num<<3), uint64(v))
		case string:
			b = append(binary.AppendUvarint(binary.AppendUvarint(b, num<<3|2), uint64(len(v))), v...)
		case []byte:
			b = append(binary.AppendUvarint(binary.AppendUvarint(b, num<<3|2), uint64(len(v))), v...)
		case float32:
			b = binary.LittleEndian.AppendUint32(binary.AppendUvarint(b, num<<3|5), math.Float32bits(v))
		}
	}
	return b
}

func TestReadRefuses(t *testing.T) {
	node := func(b []byte) []byte { return msg(7, msg(1, b)) }
	init := func(fields ...any) []byte { return msg(7, msg(5, msg(fields...))) }
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"empty":         {nil, "no graph"},
		"text":          {[]byte("not a model"), "field"},
		"cut":           {msg(7, msg(1, "x"))[:4], "middle of a field"},
		"two graphs":    {msg(7, "", 7, ""), "more than one graph"},
		"long length":   {[]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, "middle of a field"},
		"long name":     {node(msg(4, strings.Repeat("x", MaxName+1))), "graph: node 0: field 4 is a name of 1025 bytes"},
		"external":      {init(8, "w", 14, 1), "external data"},
		"location":      {init(8, "w", 13, msg(1, "location", 2, "/etc/passwd")), "external data"},
		"huge":          {init(8, "w", 1, math.MaxInt32, 1, math.MaxInt32, 1, 8, 2, 1), `initializer 0: tensor "w": shape`},
		"negative":      {init(1, -1), "dimension 0 is -1"},
		"many axes":     {init(1, bytes.Repeat([]byte{1}, 9)), "9 dimensions"},
		"wrong wire":    {msg(7, 5), "wire type 0, want 2"},
		"sparse":        {msg(7, msg(15, "")), "sparse"},
		"many items":    {node(bytes.Repeat([]byte{0x0a, 0}, MaxItems)), "more than 262144"},
		"many nodes":    {msg(7, bytes.Repeat([]byte{0x0a, 0}, MaxNodes+1)), "more than 65536 nodes"},
		"deep":          {node(nested(MaxDepth)), "graphs inside of graphs, more than 8 deep"},
		"bad branch":    {node(msg(5, msg(1, "then_branch", 6, msg(1, msg(4, 1))))), "graph: node 0: attribute 0: graph: node 0: field 4 has wire type 0"},
		"bad attribute": {node(msg(5, msg(1, "a"), 5, msg(2, 1))), "graph: node 0: attribute 1: field 2 has wire type 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(test.file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

// nested is a node with a graph in it, with a node in that, and so on.
func nested(depth int) []byte {
	if depth == 0 {
		return nil
	}
	return msg(5, msg(1, "body", 6, msg(1, nested(depth-1))))
}

func TestTensor(t *testing.T) {
	for name, test := range map[string]struct {
		tensor []byte
		floats []float32
		ints   []int64
	}{
		"raw float":   {msg(1, 2, 2, 1, 9, "\x00\x00\x80\x3f\x00\x00\x00\xc0"), []float32{1, -2}, nil},
		"float":       {msg(1, 2, 2, 1, 4, float32(1), 4, float32(-2)), []float32{1, -2}, nil},
		"packed":      {msg(1, 2, 2, 1, 4, "\x00\x00\x80\x3f\x00\x00\x00\xc0"), []float32{1, -2}, nil},
		"raw half":    {msg(1, 3, 2, 10, 9, "\x00\x3c\x01\x00\x00\xfc"), []float32{1, 1.0 / (1 << 24), float32(math.Inf(-1))}, nil},
		"half":        {msg(1, 1, 2, 10, 5, 0x3c00), []float32{1}, nil},
		"raw double":  {msg(1, 1, 2, 11, 9, "\x00\x00\x00\x00\x00\x00\xf8\x3f"), []float32{1.5}, nil},
		"int64":       {msg(1, 2, 2, 7, 7, 5, 7, -6), nil, []int64{5, -6}},
		"packed ints": {msg(1, "\x02", 2, 7, 7, "\x05\x80\x01"), nil, []int64{5, 128}},
		"raw int32":   {msg(1, 1, 2, 6, 9, "\xff\xff\xff\xff"), nil, []int64{-1}},
		"raw int8":    {msg(1, 1, 2, 3, 9, "\x80"), nil, []int64{-128}},
		"raw uint8":   {msg(1, 1, 2, 2, 9, "\x80"), nil, []int64{128}},
		"bool":        {msg(1, 2, 2, 9, 5, "\x01\x00"), nil, []int64{1, 0}},
		"scalar":      {msg(2, 7, 7, 3), nil, []int64{3}},
		"too short":   {msg(1, 3, 2, 1, 9, "\x00\x00\x80\x3f"), nil, nil},
		"too long":    {msg(2, 7, 7, 3, 7, 4), nil, nil},
		"no data":     {msg(1, 1<<27, 2, 1), nil, nil},
		"text":        {msg(2, 8), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := ReadTensor(test.tensor)
			if err != nil {
				t.Fatal(err)
			}
			floats, _ := c.Float32s() // nil for an error, as wanted
			ints, _ := c.Int64s()
			if !slices.Equal(floats, test.floats) || !slices.Equal(ints, test.ints) {
				t.Errorf("%v and %v, want %v and %v", floats, ints, test.floats, test.ints)
			}
		})
	}
}

func TestRead(t *testing.T) {
	m, err := Read(msg(1, 8, 8, msg(1, "ai.onnx", 2, 13), 8, msg(1, "other", 2, 1), 7, msg(
		1, msg(1, "x", 1, "w", 2, "y", 3, "n", 4, "Op", 5, msg(1, "k", 8, "\x03\x04"), 5, msg(1, "g", 6, ""), 5, msg(1, "l", 9, "text"), 5, msg(1, "f", 10, "")),
		5, msg(8, "w", 2, 1),
		11, msg(1, "x", 2, msg(1, msg(1, 1, 2, msg(1, msg(2, "N"), 1, msg(1, 3))))),
		12, msg(1, "y"),
	)))
	if err != nil {
		t.Fatal(err)
	}
	n := m.Graph.Nodes[0]
	if m.Opset[""] != 13 || m.Opset["other"] != 1 || n.Op != "Op" || n.Label() != "n" || !slices.Equal(n.In, []string{"x", "w"}) {
		t.Errorf("model %+v", m)
	}
	if k := n.Attr("k"); k == nil || !slices.Equal(k.Ints, []int64{3, 4}) || n.Attr("g").Graph == nil || !slices.Equal(n.Attr("l").Strs, []string{"text"}) || !n.Attr("f").Foreign || n.Attr("none") != nil {
		t.Errorf("attributes %+v", n.Attrs)
	}
	if in := m.Graph.Inputs[0]; !in.Shaped || !slices.Equal(in.Dims, []Dim{-1, 3}) || in.Type != Float {
		t.Errorf("input %+v", in)
	}
	if out := m.Graph.Outputs[0]; out.Shaped || out.Type != 0 {
		t.Errorf("output %+v", out)
	}
}
