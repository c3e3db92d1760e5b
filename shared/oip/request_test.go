package oip_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

func header(length string) http.Header {
	h := http.Header{}
	if length != "" {
		h.Set(oip.HeaderLength, length)
	}
	return h
}

func decode(body string) (*oip.Request, error) {
	return oip.DecodeRequest(http.Header{}, []byte(body), oip.Limits{})
}

// input wraps a tensor's members into a request.
func input(members string) string { return `{"inputs":[{"name":"x",` + members + `}]}` }

// The example of "Inference Request Examples", save that its second tensor has
// one element too few for its shape in the original.
func TestTheProtocolsExample(t *testing.T) {
	r, err := decode(`{
      "id" : "42",
      "inputs" : [
        { "name" : "input0", "shape" : [ 2, 2 ], "datatype" : "UINT32", "data" : [ 1, 2, 3, 4 ] },
        { "name" : "input1", "shape" : [ 1 ], "datatype" : "BOOL", "data" : [ true ] }
      ],
      "outputs" : [ { "name" : "output0" } ]
    }`)
	if err != nil {
		t.Fatal(err)
	}
	want := []tensor.Tensor{
		{Name: "input0", Type: tensor.Uint32, Shape: []int{2, 2}, Data: []byte{1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0}},
		{Name: "input1", Type: tensor.Bool, Shape: []int{1}, Data: []byte{1}},
	}
	if got := r.Tensors(); !reflect.DeepEqual(got, want) {
		t.Errorf("inputs are %v, want %v", got, want)
	}
	if r.ID != "42" || len(r.Outputs) != 1 || r.Outputs[0].Name != "output0" {
		t.Errorf("id %q, outputs %v, want 42 and output0", r.ID, r.Outputs)
	}
	if r.Binary("output0") {
		t.Error(`an output is binary though "false (or not given) if the outputs should be returned as JSON"`)
	}
}

func TestTensorDataInJSON(t *testing.T) {
	f32 := func(v ...float32) []byte {
		var b []byte
		for _, x := range v {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
		}
		return b
	}
	for name, test := range map[string]struct {
		members string
		want    []byte
	}{
		"flat":                         {`"datatype":"UINT8","shape":[2,2],"data":[1,2,4,5]`, []byte{1, 2, 4, 5}},
		"multi-dimensional":            {`"datatype":"UINT8","shape":[2,2],"data":[ [ 1, 2 ], [ 4, 5 ] ]`, []byte{1, 2, 4, 5}},
		"three dimensions":             {`"datatype":"UINT8","shape":[1,2,2],"data":[[[1,2],[4,5]]]`, []byte{1, 2, 4, 5}},
		"data before shape":            {`"data":[1,2],"shape":[2],"datatype":"UINT8"`, []byte{1, 2}},
		"no dimensions is one element": {`"datatype":"UINT8","shape":[],"data":[7]`, []byte{7}},
		"no elements":                  {`"datatype":"UINT8","shape":[0,3],"data":[]`, []byte{}},
		"no elements, nested":          {`"datatype":"UINT8","shape":[2,0],"data":[[],[]]`, []byte{}},
		"unknown members":              {`"datatype":"UINT8","future":{"a":[null,{}]},"shape":[1],"data":[1]`, []byte{1}},
		"INT8 extremes":                {`"datatype":"INT8","shape":[2],"data":[-128,127]`, []byte{0x80, 0x7f}},
		"INT16":                        {`"datatype":"INT16","shape":[1],"data":[-2]`, []byte{0xfe, 0xff}},
		"INT32":                        {`"datatype":"INT32","shape":[1],"data":[-2147483648]`, []byte{0, 0, 0, 0x80}},
		"INT64 extremes":               {`"datatype":"INT64","shape":[2],"data":[-9223372036854775808,9223372036854775807]`, []byte{0, 0, 0, 0, 0, 0, 0, 0x80, 255, 255, 255, 255, 255, 255, 255, 0x7f}},
		"UINT16":                       {`"datatype":"UINT16","shape":[1],"data":[65535]`, []byte{255, 255}},
		"UINT64 extreme":               {`"datatype":"UINT64","shape":[1],"data":[18446744073709551615]`, []byte{255, 255, 255, 255, 255, 255, 255, 255}},
		"whole number with a point":    {`"datatype":"INT32","shape":[3],"data":[3.0,3e2,-0.0]`, []byte{3, 0, 0, 0, 44, 1, 0, 0, 0, 0, 0, 0}},
		"BOOL by number":               {`"datatype":"BOOL","shape":[4],"data":[true,false,1,0]`, []byte{1, 0, 1, 0}},
		"FP32":                         {`"datatype":"FP32","shape":[5],"data":[1.5,-0,3.4028235e38,1e-45,16777217]`, f32(1.5, float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 16777216)},
		"FP64":                         {`"datatype":"FP64","shape":[1],"data":[0.1]`, binary.LittleEndian.AppendUint64(nil, math.Float64bits(0.1))},
		"BYTES":                        {`"datatype":"BYTES","shape":[2],"data":["a\u00e9\n","\ud83d\ude00"]`, []byte("\x04\x00\x00\x00aé\n\x04\x00\x00\x00😀")},
		"empty BYTES":                  {`"datatype":"BYTES","shape":[0],"data":[]`, []byte{}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := decode(input(test.members))
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Inputs[0].Data; !reflect.DeepEqual(got, test.want) {
				t.Errorf("data % x, want % x", got, test.want)
			}
		})
	}
}

// Each refusal says what and where, and what to do.
func TestRefusedJSON(t *testing.T) {
	for name, test := range map[string]struct{ body, detail string }{
		"empty":                     {``, "body is empty"},
		"no JSON":                   {`hello`, "want an object"},
		"cut short":                 {`{"inputs":[{"name":"x"`, "at byte 22"},
		"no inputs":                 {`{"id":"1"}`, "no inputs"},
		"trailing bytes":            {input(`"datatype":"UINT8","shape":[1],"data":[1]`) + "x", "nothing after the object"},
		"inputs twice":              {`{"inputs":[],"inputs":[]}`, `"inputs" twice`},
		"id is a number":            {`{"id":42,"inputs":[]}`, "want a string"},
		"no shape":                  {input(`"datatype":"UINT8","data":[1]`), "lacks its name, shape or datatype"},
		"no data":                   {input(`"datatype":"UINT8","shape":[1]`), `Input "x" has no data`},
		"unknown datatype":          {input(`"datatype":"FLOAT","shape":[1],"data":[1]`), `unknown datatype "FLOAT"`},
		"FP16 in JSON":              {input(`"datatype":"FP16","shape":[1],"data":[1]`), "FP16, which has no form in JSON"},
		"BF16 in JSON":              {input(`"datatype":"BF16","shape":[1],"data":[1]`), "BF16, which has no form in JSON"},
		"too few":                   {input(`"datatype":"UINT8","shape":[3],"data":[1,2]`), "has 2 elements in a row of its data, want 3"},
		"too many":                  {input(`"datatype":"UINT8","shape":[1],"data":[1,2]`), "more than 1 elements"},
		"ragged":                    {input(`"datatype":"UINT8","shape":[2,2],"data":[[1,2],[3]]`), "has 1 elements in a row"},
		"transposed":                {input(`"datatype":"UINT8","shape":[2,3],"data":[[1,2],[3,4],[5,6]]`), "has 2 elements in a row"},
		"half nested":               {input(`"datatype":"UINT8","shape":[1,2,2],"data":[[1,2,3,4]]`), "not nested as the shape"},
		"flat within nested":        {input(`"datatype":"UINT8","shape":[2,1],"data":[[1],2]`), "not nested as the shape"},
		"nested in one dimension":   {input(`"datatype":"UINT8","shape":[1],"data":[[1]]`), "no number at element 0"},
		"nested without dimensions": {input(`"datatype":"UINT8","shape":[],"data":[[1]]`), "no number at element 0"},
		"data no array":             {input(`"datatype":"UINT8","shape":[1],"data":1`), "data that is no array"},
		"negative dimension":        {input(`"datatype":"UINT8","shape":[-1],"data":[1]`), "-1 as dimension 0"},
		"fractional dimension":      {input(`"datatype":"UINT8","shape":[1.5],"data":[1]`), "1.5 as dimension 0"},
		"huge shape":                {input(`"datatype":"FP64","shape":[16384,16384],"data":[1]`), "too short"},
		"shape overflows":           {input(`"datatype":"FP64","shape":[100000000,100000000],"data":[1]`), "too many elements"},
		"UINT8 too large":           {input(`"datatype":"UINT8","shape":[2],"data":[1,256]`), `Input "x" has 256 at element 1, which UINT8 cannot hold`},
		"UINT8 negative":            {input(`"datatype":"UINT8","shape":[1],"data":[-1]`), "has -1 at element 0"},
		"INT8 too small":            {input(`"datatype":"INT8","shape":[1],"data":[-129]`), "has -129 at element 0"},
		"INT64 too large":           {input(`"datatype":"INT64","shape":[1],"data":[9223372036854775808]`), "INT64 cannot hold"},
		"UINT64 too large":          {input(`"datatype":"UINT64","shape":[1],"data":[18446744073709551616]`), "UINT64 cannot hold"},
		"fraction for integer":      {input(`"datatype":"INT32","shape":[1],"data":[1.5]`), "has 1.5 at element 0"},
		"FP32 too large":            {input(`"datatype":"FP32","shape":[1],"data":[3.5e38]`), "FP32 cannot hold"},
		"FP64 too large":            {input(`"datatype":"FP64","shape":[1],"data":[1e999999999999]`), "FP64 cannot hold"},
		"NaN":                       {input(`"datatype":"FP32","shape":[1],"data":[NaN]`), "travel in binary only"},
		"null":                      {input(`"datatype":"FP32","shape":[1],"data":[null]`), "no number at element 0"},
		"string for a number":       {input(`"datatype":"FP32","shape":[1],"data":["1"]`), "no number at element 0"},
		"number for BYTES":          {input(`"datatype":"BYTES","shape":[1],"data":[1]`), "no string at element 0"},
		"BYTES not UTF-8":           {input(`"datatype":"BYTES","shape":[1],"data":["` + "\xff" + `"]`), "not UTF-8"},
		"lone surrogate":            {input(`"datatype":"BYTES","shape":[1],"data":["\ud800"]`), "stands for no character"},
		"control character":         {input(`"datatype":"BYTES","shape":[1],"data":["` + "\n" + `"]`), "control character"},
		"leading zero":              {input(`"datatype":"FP32","shape":[1],"data":[01]`), "needless zero"},
		"bare point":                {input(`"datatype":"FP32","shape":[1],"data":[1.]`), "digit after the point"},
		"bare exponent":             {input(`"datatype":"FP32","shape":[1],"data":[1e]`), "digit in the exponent"},
		"hexadecimal":               {input(`"datatype":"FP32","shape":[1],"data":[0x1]`), "want a comma"},
		"deep nesting":              {`{"x":` + strings.Repeat("[", 100000), "nested too deep"},
		"parameter no scalar":       {`{"parameters":{"a":[]},"inputs":[]}`, `"a" is an object or an array`},
		"two of one name":           {`{"inputs":[{"name":"a","datatype":"UINT8","shape":[0],"data":[]},{"name":"a","datatype":"UINT8","shape":[0],"data":[]}]}`, `"a" is there twice`},
		"binary output no bool":     {`{"parameters":{"binary_data_output":1},"inputs":[{"name":"a","datatype":"UINT8","shape":[0],"data":[]}]}`, "no boolean"},
		"output without a name":     {`{"inputs":[{"name":"a","datatype":"UINT8","shape":[0],"data":[]}],"outputs":[{}]}`, "Output 0 has no name"},
		"binary without a header":   {input(`"datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}`), "body has 0 left"},
		"data and binary":           {input(`"datatype":"UINT8","shape":[1],"data":[1],"parameters":{"binary_data_size":1}`), "data in JSON and binary_data_size too"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(test.body)
			refused(t, err, test.detail)
		})
	}
}

func refused(t *testing.T, err error, detail string) {
	t.Helper()
	if !problem.Is(err, problem.Invalid) {
		t.Fatalf("error %v, want an invalid request", err)
	}
	e := problem.Of(err)
	if !strings.Contains(e.Detail, detail) {
		t.Errorf("detail %q, want %q in it", e.Detail, detail)
	}
	if e.Remedy == "" {
		t.Error("no remedy")
	}
	if len(e.Detail) > 400 {
		t.Errorf("a detail of %d bytes", len(e.Detail))
	}
}

// "The binary data for a tensor is delivered in the HTTP body after the JSON
// object", "in the same order".
func TestBinaryData(t *testing.T) {
	js := `{"model_name":"mymodel","inputs":[` +
		`{"name":"input0","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},` +
		`{"name":"mixed","shape":[1],"datatype":"INT8","data":[-1]},` +
		`{"name":"input1","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}},` +
		`{"name":"half","shape":[1],"datatype":"FP16","parameters":{"binary_data_size":2}},` +
		`{"name":"blob","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}],` +
		`"outputs":[{"name":"output0","parameters":{"binary_data":true}},{"name":"output1"}]}`
	tail := "\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00" + "\x01\x00\x01" + "\x00\x3c" + "\x02\x00\x00\x00\xff\xfe"
	r, err := oip.DecodeRequest(header(itoa(len(js))), []byte(js+tail), oip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{tail[:16], "\xff", tail[16:19], tail[19:21], tail[21:]} {
		if got := string(r.Inputs[i].Data); got != want {
			t.Errorf("%s is % x, want % x", r.Inputs[i].Name, got, want)
		}
	}
	if !r.Binary("output0") || r.Binary("output1") {
		t.Error("binary_data does not choose the outputs")
	}
}

func TestBinaryDataOutput(t *testing.T) {
	r, err := decode(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"a","datatype":"UINT8","shape":[0],"data":[]}],` +
		`"outputs":[{"name":"b","parameters":{"binary_data":false}},{"name":"c"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if r.Binary("b") || !r.Binary("c") {
		t.Error(`"If binary_data is specified on an output it overrides this setting" does not hold`)
	}
}

func TestRefusedBinary(t *testing.T) {
	const js = `{"inputs":[{"name":"x","shape":[2],"datatype":"UINT16","parameters":{"binary_data_size":4}}]}`
	blob := func(size string) string {
		return `{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":` + size + `}}]}`
	}
	for name, test := range map[string]struct {
		length, json, tail, detail string
	}{
		"header no number":     {"abc", js, "abcd", `"abc", no one number`},
		"no header":            {"none", js, "abcd", fmt.Sprintf("goes on after its JSON, which has %d bytes", len(js))},
		"header too long":      {itoa(len(js) + 2), js, "abcd", fmt.Sprintf("goes on after its JSON, which has %d bytes", len(js))},
		"header negative":      {"-1", js, "abcd", "no one number"},
		"header huge":          {"99999999999999999999", js, "abcd", "no one number"},
		"header beyond body":   {"1000", js, "abcd", "says 1000, but the body has"},
		"header too short":     {"20", js, "abcd", "broken at byte 20"},
		"truncated":            {"", js, "abc", "body has 3 left"},
		"too long":             {"", js, "abcde", "1 bytes after the last tensor"},
		"size is a string":     {"", `{"inputs":[{"name":"x","shape":[2],"datatype":"UINT16","parameters":{"binary_data_size":"4"}}]}`, "abcd", `"binary_data_size" is "4"`},
		"size is negative":     {"", blob("-1"), "abcd", "-1"},
		"size against shape":   {"", `{"inputs":[{"name":"x","shape":[3],"datatype":"UINT16","parameters":{"binary_data_size":4}}]}`, "abcd", "has 4 bytes of data, want 6"},
		"BYTES length beyond":  {"", blob("8"), "\xff\xff\xff\xff1234", "wants 4294967295 bytes"},
		"BYTES two elements":   {"", blob("8"), "\x00\x00\x00\x00\x00\x00\x00\x00", "holds 2 elements, want 1"},
		"BYTES cut in length":  {"", blob("2"), "\x00\x00", "ends within a length"},
		"shape far too large":  {"", `{"inputs":[{"name":"x","shape":[200000000,200000000],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}`, "a", "too many elements"},
		"two headers in a row": {"12,13", js, "abcd", "no one number"},
	} {
		t.Run(name, func(t *testing.T) {
			h := header(test.length)
			switch test.length {
			case "":
				h.Set(oip.HeaderLength, itoa(len(test.json)))
			case "none":
				h.Del(oip.HeaderLength)
			}
			_, err := oip.DecodeRequest(h, []byte(test.json+test.tail), oip.Limits{})
			refused(t, err, test.detail)
		})
	}
}

// What JSON may grow to is the caller's choice, and no more than that is taken.
func TestDecodedLimit(t *testing.T) {
	body := []byte(input(`"datatype":"FP64","shape":[100],"data":[` + strings.Repeat("1,", 99) + `1]`))
	if _, err := oip.DecodeRequest(http.Header{}, body, oip.Limits{Decoded: 800}); err != nil {
		t.Errorf("800 bytes within a limit of 800: %v", err)
	}
	_, err := oip.DecodeRequest(http.Header{}, body, oip.Limits{Decoded: 799})
	if !problem.Is(err, problem.TooLarge) {
		t.Errorf("800 bytes with a limit of 799: %v, want too large", err)
	}
}

func TestParameters(t *testing.T) {
	r, err := decode(`{"parameters":{"postprocess":false,"priority":7,"timeout":2500000,"own":"x","ratio":0.5,"none":null},` +
		`"inputs":[{"name":"a","datatype":"UINT8","shape":[0],"data":[]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if post, err := r.Postprocess(); err != nil || post == nil || *post {
		t.Errorf("postprocess = %v, %v, want false", post, err)
	}
	if p, ok, err := r.Priority(7); p != 7 || !ok || err != nil {
		t.Errorf("priority = %d, %v, %v, want 7", p, ok, err)
	}
	if d, err := r.Timeout(); d != 2500*time.Millisecond || err != nil {
		t.Errorf("timeout = %v, %v, want 2.5s", d, err)
	}
	want := oip.Params{"postprocess": false, "priority": int64(7), "timeout": int64(2500000), "own": "x", "ratio": 0.5}
	if !reflect.DeepEqual(r.Params, want) {
		t.Errorf("parameters %v, want %v", r.Params, want)
	}
	r.Params = oip.Params{"postprocess": "yes", "priority": int64(8), "timeout": -1.5}
	_, err = r.Postprocess()
	refused(t, err, `"yes", no boolean`)
	_, _, err = r.Priority(7)
	refused(t, err, `"priority" is 8`)
	_, err = r.Timeout()
	refused(t, err, `"timeout" is -1.5`)
}

func TestResolveRaw(t *testing.T) {
	jpeg := "\xff\xd8\xff\xe0 and so on"
	faces := model.Metadata{
		Name: "faces", Image: true, Postprocess: "detections",
		Inputs:  []tensor.Spec{{Name: "input", Type: tensor.Float32, Shape: []int{1, 2}}},
		Outputs: []tensor.Spec{{Name: "boxes", Type: tensor.Float32, Shape: []int{1, 4}}},
	}
	numbers := model.Metadata{Name: "numbers", Inputs: []tensor.Spec{{Name: "n", Type: tensor.Float32, Shape: []int{-1, 2}}}}
	for name, test := range map[string]struct {
		model model.Metadata
		body  string
		want  tensor.Tensor
	}{
		"image":          {faces, jpeg, tensor.FromBytes("input", []byte(jpeg))},
		"unknown image":  {faces, "GIF89a", tensor.FromBytes("input", []byte("GIF89a"))},
		"tensor instead": {faces, "12345678", tensor.Tensor{Name: "input", Type: tensor.Float32, Shape: []int{1, 2}, Data: []byte("12345678")}},
		"free dimension": {numbers, "1234567812345678", tensor.Tensor{Name: "n", Type: tensor.Float32, Shape: []int{2, 2}, Data: []byte("1234567812345678")}},
		"BYTES": {
			model.Metadata{Inputs: []tensor.Spec{{Name: "b", Type: tensor.Bytes, Shape: []int{1}}}},
			"abc",
			tensor.FromBytes("b", []byte("abc")),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := oip.DecodeRequest(header("0"), []byte(test.body), oip.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Resolve(test.model); err != nil {
				t.Fatal(err)
			}
			if got := r.Tensors(); !reflect.DeepEqual(got, []tensor.Tensor{test.want}) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if binary := test.want.Type != tensor.Bytes; r.Binary("any") != binary {
				t.Errorf(`binary output %v, want %v ("all the model output ... in binary tensor form", JSON for images)`, !binary, binary)
			}
		})
	}
	for name, test := range map[string]struct {
		model  model.Metadata
		body   string
		detail string
	}{
		"wrong length":    {numbers, "123456789", "9 bytes cannot be input"},
		"image for none":  {numbers, jpeg, "cannot be input"},
		"two inputs":      {model.Metadata{Name: "two", Inputs: make([]tensor.Spec, 2)}, "1", "has 2 inputs"},
		"two free":        {model.Metadata{Inputs: []tensor.Spec{{Type: tensor.Uint8, Shape: []int{-1, -1}}}}, "1", "more than one free"},
		"many BYTES":      {model.Metadata{Inputs: []tensor.Spec{{Type: tensor.Bytes, Shape: []int{4}}}}, "1", "one BYTES element"},
		"empty free rows": {model.Metadata{Inputs: []tensor.Spec{{Type: tensor.Uint8, Shape: []int{-1, 0}}}}, "1", "cannot be input"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &oip.Request{Raw: []byte(test.body)}
			refused(t, r.Resolve(test.model), test.detail)
		})
	}
	r := &oip.Request{Raw: []byte(jpeg), Outputs: []oip.Output{{Name: "nonesuch"}}}
	refused(t, r.Resolve(faces), `no output "nonesuch"`)
}

// The raw form needs no header where the body tells that it is an image.
func TestImageWithoutHeader(t *testing.T) {
	for name, test := range map[string]struct{ mime, body string }{
		"JPEG from curl": {"application/x-www-form-urlencoded", "\xff\xd8\xff\xdb"},
		"PNG":            {"", "\x89PNG\r\n\x1a\nmore"},
		"WebP":           {"application/octet-stream", "RIFF1234WEBPVP8 "},
		"by media type":  {"image/gif", "GIF89a"},
	} {
		h := http.Header{"Content-Type": {test.mime}}
		r, err := oip.DecodeRequest(h, []byte(test.body), oip.Limits{})
		if err != nil || string(r.Raw) != test.body {
			t.Errorf("%s: raw %q, %v, want the body", name, r.Raw, err)
		}
	}
	h := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}} // curl -d '{...}'
	r, err := oip.DecodeRequest(h, []byte(input(`"datatype":"UINT8","shape":[1],"data":[1]`)), oip.Limits{})
	if err != nil || r.Raw != nil {
		t.Errorf("JSON from curl: raw %q, %v, want an input", r.Raw, err)
	}
}
