package oip_test

import (
	"bytes"
	"net/http"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"primespark/shared/oip"
	"primespark/shared/problem"
)

// FuzzDecode throws bodies at the decoder: JSON, binary or mixed as jsonLength
// says (negative for no header). What it takes is well-formed and survives a
// round trip; what it refuses has words.
func FuzzDecode(f *testing.F) {
	const binaryJSON = `{"id":"1","inputs":[{"name":"a","shape":[2],"datatype":"FP16","parameters":{"binary_data_size":4}},` +
		`{"name":"b","shape":[1,2],"datatype":"FP32","data":[[1,2e3]]}],"outputs":[{"name":"o","parameters":{"binary_data":true}}]}`
	f.Add([]byte(binaryJSON+"1234"), len(binaryJSON))
	f.Add([]byte(input(`"data":["a\u00e9",""],"shape":[2],"datatype":"BYTES"`)), -1)
	f.Add([]byte(input(`"datatype":"INT64","shape":[2,1],"data":[[-1],[9e2]]`)), -1)
	f.Add([]byte(`{"parameters":{"a":1.5,"b":"c","d":true,"priority":3},"inputs":[]}`), -1)
	f.Add([]byte("\xff\xd8\xff"), 0)
	f.Add([]byte(input(`"datatype":"BOOL","shape":[99999999],"data":[true]`)), -1)
	f.Fuzz(func(t *testing.T, body []byte, jsonLength int) {
		h := http.Header{}
		if jsonLength >= 0 {
			h.Set(oip.HeaderLength, itoa(jsonLength))
		}
		before := bytes.Clone(body)
		r, err := oip.DecodeRequest(h, body, oip.Limits{Decoded: 1 << 20})
		if !bytes.Equal(before, body) {
			t.Error("the body was changed")
		}
		if err != nil {
			e := problem.Of(err)
			if e.Code != problem.Invalid && e.Code != problem.TooLarge || e.Remedy == "" || len(e.Detail) > 600 {
				t.Errorf("refused with %s %q, %q", e.Code, e.Detail, e.Remedy)
			}
			return
		}
		for _, in := range r.Inputs {
			if err := in.Check(); err != nil {
				t.Errorf("taken, but %v", err)
			}
		}
		if r.Raw != nil {
			return
		}
		for _, in := range r.Inputs {
			delete(in.Params, oip.ParamBinarySize) // Encode sets it
		}
		out, err := r.Encode(func(string) bool { return true })
		if err != nil {
			t.Fatal(err)
		}
		out.SetHeaders(h)
		again, err := oip.DecodeRequest(h, out.Bytes, oip.Limits{})
		if err != nil {
			t.Fatalf("%v in %q", err, out.Bytes)
		}
		if !reflect.DeepEqual(again.Tensors(), r.Tensors()) || again.ID != r.ID {
			t.Errorf("%v became %v", r.Tensors(), again.Tensors())
		}
	})
}

// FuzzDecodeResponse does the same for a client that meets a hostile server.
func FuzzDecodeResponse(f *testing.F) {
	body, err := response().Encode(nil, func(name string) bool { return name == "labels" })
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body.Bytes, body.JSON)
	f.Fuzz(func(t *testing.T, body []byte, jsonLength int) {
		h := http.Header{}
		if jsonLength >= 0 {
			h.Set(oip.HeaderLength, itoa(jsonLength))
		}
		r, err := oip.DecodeResponse(h, body, oip.Limits{Decoded: 1 << 20})
		if err != nil {
			return
		}
		for _, o := range r.Outputs {
			if err := o.Check(); err != nil {
				t.Errorf("taken, but %v", err)
			}
			if _, err := oip.Detections(o); err == nil && o.Type != "BYTES" {
				t.Errorf("detections out of %s", o.Type)
			}
		}
	})
}

// Whatever a body says, decoding it costs a small multiple of its length.
func TestMemoryIsBounded(t *testing.T) {
	const size = 4 << 20
	fill := func(head, unit, tail string) string {
		return head + strings.Repeat(unit, (size-len(head)-len(tail))/len(unit)) + tail
	}
	for name, body := range map[string]string{
		"FP64":         fill(`{"inputs":[{"name":"x","datatype":"FP64","shape":[2097100],"data":[`, "1,", `1]}]}`),
		"BYTES":        fill(`{"inputs":[{"name":"x","datatype":"BYTES","shape":[1398000],"data":[`, `"",`, `""]}]}`),
		"inputs":       fill(`{"inputs":[`, `{},`, `{}]}`),
		"outputs":      fill(`{"outputs":[`, `{"name":"a"},`, `{}]}`),
		"parameters":   fill(`{"parameters":{`, `"a":1,`, `"b":1}}`),
		"shape":        fill(`{"inputs":[{"shape":[`, `1,`, `1]}]}`),
		"nested":       fill(`{"x":`, `[`, ``),
		"escapes":      fill(`{"id":"`, `\u0001`, `"}`),
		"unknown":      fill(`{`, `"a":{"b":[1,"c",null]},`, `"z":0}`),
		"wide nesting": fill(`{"inputs":[{"name":"x","datatype":"FP64","shape":[1,1,1,1],"data":[`, `[`, ``),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := oip.DecodeRequest(http.Header{}, []byte(body), oip.Limits{})
		runtime.ReadMemStats(&after)
		// The body itself is copied once here.
		if cost := int(after.TotalAlloc-before.TotalAlloc) / size; cost > 12 {
			t.Errorf("%s: %d times its length was allocated (%v)", name, cost, err)
		}
		runtime.KeepAlive(r)
	}
}
