package onnxruntime_test

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"primespark/agent/infer"
	"primespark/agent/infer/infertest"
	"primespark/agent/onnxruntime/orttest"
	"primespark/shared/tensor"
)

// field is a field of a protobuf message: bytes, or a message of such fields.
func field(number int, parts ...[]byte) []byte {
	all := slices.Concat(parts...)
	return append(binary.AppendUvarint([]byte{byte(number<<3 | 2)}, uint64(len(all))), all...)
}

func varint(number int, v uint64) []byte { return binary.AppendUvarint([]byte{byte(number << 3)}, v) }

// port is a ValueInfoProto; a dimension of -1 is left open.
func port(name string, kind uint64, dims ...int) []byte {
	var shape []byte
	for _, d := range dims {
		one := varint(1, uint64(d))
		if d < 0 {
			one = field(2, []byte(name+"_open"))
		}
		shape = append(shape, field(1, one)...)
	}
	return slices.Concat(field(1, []byte(name)), field(2, field(1, varint(1, kind), field(2, shape))))
}

// networkOf is a ModelProto of one node.
func networkOf(operator string, in, out []string, graph ...[]byte) []byte {
	var node []byte
	for _, name := range in {
		node = append(node, field(1, []byte(name))...)
	}
	for _, name := range out {
		node = append(node, field(2, []byte(name))...)
	}
	node = append(node, field(4, []byte(operator))...)
	parts := append([][]byte{field(1, node), field(2, []byte("tiny"))}, graph...)
	return slices.Concat(varint(1, 7), field(7, parts...), field(8, varint(2, 13)))
}

// suppressor is a NonMaxSuppression: at most 3 boxes of a class, which overlap by half at
// most.
func suppressor() []byte {
	most := field(5, varint(1, 1), varint(2, 7), field(8, []byte("most")), field(9, binary.LittleEndian.AppendUint64(nil, 3)))
	half := field(5, varint(1, 1), varint(2, 1), field(8, []byte("half")), field(9, binary.LittleEndian.AppendUint32(nil, math.Float32bits(0.5))))
	return networkOf("NonMaxSuppression", []string{"boxes", "scores", "most", "half", "half"}, []string{"chosen"}, most, half,
		field(11, port("boxes", 1, 1, 4, 4)), field(11, port("scores", 1, 1, 1, 4)), field(12, port("chosen", 7, -1, 3)))
}

// seeker is a NonZero.
func seeker() []byte {
	return networkOf("NonZero", []string{"x"}, []string{"found"}, field(11, port("x", 1, 2, 3)), field(12, port("found", 7, 2, -1)))
}

// TestOpenReal has the real library choose among boxes, and find what is not zero: what
// comes out is as large as there is of it.
func TestOpenReal(t *testing.T) {
	kit, _ := orttest.Real(t)
	b, _ := open(t, kit, nil)
	nms := infertest.Load(t, b, suppressor())
	if out := nms.Outputs()[0]; !slices.Equal(out.Shape, []int{-1, 3}) || out.Type != tensor.Int64 || out.Most != 4<<20/8 {
		t.Errorf("the boxes chosen are %+v", out)
	}
	in := infertest.Inputs(t, nms)
	// The second lies on the first, and the last two apart.
	copy(in[0].Float32s(), []float32{0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 10, 1, 11, 0, 20, 1, 21})
	for _, test := range []struct {
		scores []float32
		want   []int64
	}{
		{[]float32{0.9, 0.8, 0.7, 0.95}, []int64{0, 0, 3, 0, 0, 0, 0, 0, 2}},
		{[]float32{0.1, 0.2, 0.3, 0.4}, nil},
		{[]float32{0.1, 0.8, 0.3, 0.4}, []int64{0, 0, 1}},
	} {
		copy(in[1].Float32s(), test.scores)
		out := infertest.Outputs(t, nms)
		if err := nms.Infer(t.Context(), in, out); err != nil || !slices.Equal(out[0].Shape, []int{len(test.want) / 3, 3}) || !slices.Equal(out[0].Int64s(), test.want) {
			t.Errorf("scores %v choose %v, %v, want %v; %v", test.scores, out[0].Shape, out[0].Int64s(), test.want, err)
		}
	}

	declared := []tensor.Spec{{Name: "found", Type: tensor.Int64, Shape: []int{2, -1}, Most: 4}}
	bounded := infertest.Load(t, b.Shaped(nil, declared), seeker())
	x, out := infertest.Inputs(t, bounded), infertest.Outputs(t, bounded)
	copy(x[0].Float32s(), []float32{0, 3, 0, 0, 0, 4})
	if err := bounded.Infer(t.Context(), x, out); err != nil || !slices.Equal(out[0].Shape, []int{2, 2}) || !slices.Equal(out[0].Int64s(), []int64{0, 1, 1, 2}) {
		t.Errorf("of two there are %v, %v, %v", out[0].Shape, out[0].Int64s(), err)
	}
	x[0].Fill(1)
	err := bounded.Infer(t.Context(), x, infertest.Outputs(t, bounded))
	if r, ok := errors.AsType[*infer.Refused](err); !ok || !strings.Contains(r.Detail, "found has 12 elements, and there is room for 4") || !strings.Contains(r.Remedy, "max_elements") {
		t.Errorf("more than there is room for: %v", err)
	}
	x[0].Fill(0)
	if err := bounded.Infer(t.Context(), x, out); err != nil || !slices.Equal(out[0].Shape, []int{2, 0}) || len(out[0].Data) != 0 {
		t.Errorf("of none there are %v, %v", out[0], err)
	}
}

// TestOpenMistaken has a manifest say that an output is fixed which is not: the request
// that finds out is told what to write there.
func TestOpenMistaken(t *testing.T) {
	kit, _ := orttest.Real(t)
	b, _ := open(t, kit, nil)
	shaped := b.Shaped([]tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{2, 3}, Sample: 1}}, []tensor.Spec{{Name: "found", Type: tensor.Int64, Shape: []int{2, 6}}})
	s := infertest.Load(t, shaped, seeker())
	x, out := infertest.Inputs(t, s), infertest.Outputs(t, s)
	x[0].Fill(1)
	if err := s.Infer(t.Context(), x, out); err != nil || !slices.Equal(out[0].Shape, []int{2, 6}) {
		t.Errorf("as the manifest has it: %v, %v", out[0].Shape, err)
	}
	x[0].Fill(0)
	err := s.Infer(t.Context(), x, out)
	if r, ok := errors.AsType[*infer.Refused](err); !ok || !strings.Contains(r.Detail, "dimension 1 of found is 0, and was 6") || !strings.Contains(r.Remedy, "-1 for dimensions that the data decide") {
		t.Errorf("otherwise: %v", err)
	}
}

// TestOpenFound finds by another trial what the first one does not tell, and keeps quiet
// about what a manifest has as fixed.
func TestOpenFound(t *testing.T) {
	b, _ := open(t, orttest.Double(t), nil)
	file := orttest.Model([]orttest.Port{{Name: "x", Type: 1, Dims: []int{1, 8}}, {Name: "bias", Type: 1, Dims: []int{1}}}, []orttest.Port{{Name: "y", Type: 1, Dims: []int{-2, 2}}})
	in := []tensor.Spec{{Name: "bias", Shape: []int{1}, Sample: 1}} // so that the first trial finds one
	y := []tensor.Spec{{Name: "y", Shape: []int{1, 2}}}
	for name, test := range map[string]struct {
		in, out []tensor.Spec
		want    int
	}{
		"found":                {in, nil, -1},
		"fixed":                {in, y, 1},
		"fixed, and it cannot": {nil, y, -1},
	} {
		s := infertest.Load(t, b.Shaped(test.in, test.out), file)
		if got := s.Outputs()[0].Shape; !slices.Equal(got, []int{test.want, 2}) {
			t.Errorf("%s: its output is %v", name, got)
		}
	}
}
