package oip_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"primespark/shared/oip"
	"primespark/shared/tensor"
)

func TestClassify(t *testing.T) {
	f32 := func(shape []int, v ...float32) tensor.Tensor { return tensor.FromFloat32s("y", v, shape...) }
	raw := func(typ tensor.Type, data ...byte) tensor.Tensor {
		return tensor.Tensor{Name: "y", Type: typ, Shape: []int{len(data) / typ.Size()}, Data: data}
	}
	nan := float32(math.NaN())
	f64 := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1)), math.Float64bits(1e300))
	for name, test := range map[string]struct {
		in     tensor.Tensor
		k      int
		labels []string
		want   string
	}{
		// The document's own examples.
		"[1, 5, 10, 4]":          {f32([]int{4}, 1, 5, 10, 4), 2, nil, "[2] 10:2 5:1"},
		"[1, 5, 10, 4], labels":  {f32([]int{4}, 1, 5, 10, 4), 2, []string{"a", "pickle", "apple", "b"}, "[2] 10:2:apple 5:1:pickle"},
		"[1.1, 3.3, 0.5, 2.4]":   {f32([]int{4}, 1.1, 3.3, 0.5, 2.4), 2, nil, "[2] 3.3:1 2.4:3"},
		"a batch":                {f32([]int{2, 3}, 1, 2, 3, 6, 5, 4), 2, nil, "[2 2] 3:2 2:1 6:0 5:1"},
		"a batch of one":         {f32([]int{1, 3}, 1, 2, 3), 1, nil, "[1 1] 3:2"},
		"more dimensions":        {f32([]int{1, 2, 2}, 1, 4, 3, 2), 2, nil, "[1 2] 4:1 3:2"},
		"more than there are":    {f32([]int{2}, 1, 2), 5, nil, "[2] 2:1 1:0"},
		"equal values":           {f32([]int{3}, 1, 1, 1), 2, nil, "[2] 1:0 1:1"},
		"NaN comes last":         {f32([]int{3}, nan, -1, nan), 3, nil, "[3] -1:1 NaN:0 NaN:2"},
		"few labels":             {f32([]int{3}, 1, 2, 3), 3, []string{"a", ""}, "[3] 3:2 2:1 1:0:a"},
		"INT8":                   {raw(tensor.Int8, 0x80, 1, 0xff), 3, nil, "[3] 1:1 -1:2 -128:0"},
		"UINT8":                  {raw(tensor.Uint8, 0x80, 1, 0xff), 1, nil, "[1] 255:2"},
		"BOOL":                   {raw(tensor.Bool, 0, 1), 1, nil, "[1] 1:1"},
		"INT16":                  {raw(tensor.Int16, 0, 0x80, 1, 0), 1, nil, "[1] 1:1"},
		"UINT16":                 {raw(tensor.Uint16, 0, 0x80, 1, 0), 1, nil, "[1] 32768:0"},
		"INT32":                  {raw(tensor.Int32, 255, 255, 255, 255, 1, 0, 0, 0), 2, nil, "[2] 1:1 -1:0"},
		"UINT32":                 {raw(tensor.Uint32, 255, 255, 255, 255, 1, 0, 0, 0), 1, nil, "[1] 4294967295:0"},
		"INT64, beyond a double": {raw(tensor.Int64, append(binary.LittleEndian.AppendUint64(nil, 1<<53), binary.LittleEndian.AppendUint64(nil, 1<<53+1)...)...), 1, nil, "[1] 9007199254740993:1"},
		"UINT64":                 {raw(tensor.Uint64, 255, 255, 255, 255, 255, 255, 255, 255), 1, nil, "[1] 18446744073709551615:0"},
		"FP64":                   {raw(tensor.Float64, f64...), 2, nil, "[2] 1e+300:1 0.1:0"},
		"FP16":                   {raw(tensor.Float16, 0, 0x3c, 0, 0xc0, 1, 0, 0, 0x7c, 0, 0x7e), 5, nil, "[5] +Inf:3 1:0 5.9604645e-08:2 -2:1 NaN:4"},
		"BF16":                   {raw(tensor.BF16, 0x80, 0x3f, 0, 0xc0), 2, nil, "[2] 1:0 -2:1"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := oip.Classify(test.in, test.k, test.labels)
			if err != nil {
				t.Fatal(err)
			}
			if err := got.Check(); err != nil {
				t.Error(err)
			}
			elements, err := got.Elements()
			if err != nil {
				t.Fatal(err)
			}
			var all []string
			for _, e := range elements {
				all = append(all, string(e))
			}
			if s := fmt.Sprint(got.Shape) + " " + strings.Join(all, " "); s != test.want || got.Name != "y" {
				t.Errorf("%s %s, want %s", got.Name, s, test.want)
			}
		})
	}
}

func TestClassifyWhatIsAskedFor(t *testing.T) {
	r, err := decode(`{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}],"outputs":[{"name":"b"},{"name":"a","parameters":{"classification":1}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tensor.FromFloat32s("a", []float32{1, 2}, 2), tensor.FromFloat32s("b", []float32{3}, 1)
	model := []tensor.Tensor{a, b}
	picked, err := r.Pick(model)
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Classify(picked, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := tensor.FromBytes("a", []byte("2:1"))
	if !reflect.DeepEqual(got, []tensor.Tensor{b, want}) || !reflect.DeepEqual(model, []tensor.Tensor{a, b}) {
		t.Errorf("got %v, and the model's own are %v", got, model)
	}
	for _, bad := range []string{"0", "-1", `"two"`, "1.5", "true"} {
		r, err := decode(`{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]}],"outputs":[{"name":"a","parameters":{"classification":` + bad + `}}]}`)
		if err == nil {
			_, err = r.Classify([]tensor.Tensor{a}, nil)
		}
		if err == nil || !strings.Contains(err.Error(), "classification") {
			t.Errorf("%s classifications: %v", bad, err)
		}
	}
	for name, bad := range map[string]tensor.Tensor{"BYTES": tensor.FromBytes("a", []byte("x")), "nothing": {Name: "a", Type: tensor.Uint8, Shape: []int{0, 2}}} {
		if _, err := oip.Classify(bad, 1, nil); err == nil {
			t.Errorf("%s was classified", name)
		}
	}
}
