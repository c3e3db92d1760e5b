package oip_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
)

func itoa(n int) string { return strconv.Itoa(n) }

func response() *oip.Response {
	return &oip.Response{Model: "m", Version: "1", ID: "42", Outputs: []tensor.Tensor{
		tensor.FromFloat32s("scores", []float32{1, 0.1, -2.5e-9, 3e20}, 2, 2),
		tensor.FromBytes("labels", []byte("a \"b\"\n\\\x01é"), nil),
		{Name: "i", Type: tensor.Int64, Shape: []int{1}, Data: []byte{255, 255, 255, 255, 255, 255, 255, 255}},
		{Name: "ok", Type: tensor.Bool, Shape: []int{2}, Data: []byte{1, 0}},
	}}
}

func TestResponseInJSON(t *testing.T) {
	body, err := response().Encode(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model_name":"m","model_version":"1","id":"42","outputs":[` +
		`{"name":"scores","datatype":"FP32","shape":[2,2],"data":[1,0.1,-2.5e-09,3e+20]},` +
		`{"name":"labels","datatype":"BYTES","shape":[2],"data":["a \"b\"\u000a\\\u0001é",""]},` +
		`{"name":"i","datatype":"INT64","shape":[1],"data":[-1]},` +
		`{"name":"ok","datatype":"BOOL","shape":[2],"data":[true,false]}]}`
	if string(body.Bytes) != want {
		t.Errorf("got  %s\nwant %s", body.Bytes, want)
	}
	if !json.Valid(body.Bytes) {
		t.Error("that is no JSON")
	}
	if body.JSON != -1 {
		t.Errorf("header length %d for a body of JSON alone, want none", body.JSON)
	}
}

// "If any binary data is present in the request or response the
// Inference-Header-Content-Length header must be provided".
func TestResponseInBinary(t *testing.T) {
	r := response()
	body, err := r.Encode(nil, func(name string) bool { return name == "scores" || name == "labels" })
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	body.SetHeaders(h)
	if got := h.Get(oip.HeaderLength); got != itoa(body.JSON) || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("headers %v", h)
	}
	if !json.Valid(body.Bytes[:body.JSON]) {
		t.Errorf("no JSON: %s", body.Bytes[:body.JSON])
	}
	if !strings.Contains(string(body.Bytes[:body.JSON]), `"parameters":{"binary_data_size":16}`) {
		t.Errorf("no binary_data_size in %s", body.Bytes[:body.JSON])
	}
}

// What one side writes, the other reads, whichever outputs are binary.
func TestRoundTrips(t *testing.T) {
	for name, binary := range map[string]func(string) bool{
		"JSON":   nil,
		"binary": func(string) bool { return true },
		"mixed":  func(name string) bool { return name == "labels" },
	} {
		t.Run(name, func(t *testing.T) {
			want := response()
			body, err := want.Encode(make([]byte, 0, 10), binary)
			if err != nil {
				t.Fatal(err)
			}
			h := http.Header{}
			body.SetHeaders(h)
			got, err := oip.DecodeResponse(h, body.Bytes, oip.Limits{})
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, %v, want %v", got, err, want)
			}
			request := &oip.Request{
				ID: "7", Params: oip.Params{"a": "b", "c": 1.5, "d": true},
				Outputs: []oip.Output{{Name: "o", Params: oip.Params{"binary_data": true}}},
			}
			for _, tt := range want.Outputs {
				request.Inputs = append(request.Inputs, oip.Input{Tensor: tt})
			}
			hr, err := oip.NewRequest(t.Context(), "http://h/", "m", "2", request, binary)
			if err != nil {
				t.Fatal(err)
			}
			if hr.URL.Path != "/v2/models/m/versions/2/infer" {
				t.Errorf("path %s", hr.URL.Path)
			}
			body, err = request.Encode(binary)
			if err != nil {
				t.Fatal(err)
			}
			back, err := oip.DecodeRequest(hr.Header, body.Bytes, oip.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(back.Tensors(), want.Outputs) || back.ID != "7" || !reflect.DeepEqual(back.Params, request.Params) || !reflect.DeepEqual(back.Outputs, request.Outputs) {
				t.Errorf("got %+v, want %+v", back, request)
			}
		})
	}
}

// What JSON has no form for is refused, and the remedy works.
func TestNoFormInJSON(t *testing.T) {
	for name, tt := range map[string]tensor.Tensor{
		"NaN":       tensor.FromFloat32s("o", []float32{1, float32(math.NaN())}, 2),
		"infinity":  tensor.FromFloat32s("o", []float32{float32(math.Inf(-1))}, 1),
		"FP16":      {Name: "o", Type: tensor.Float16, Shape: []int{1}, Data: []byte{0, 0}},
		"not UTF-8": tensor.FromBytes("o", []byte{0xff}),
	} {
		r := &oip.Response{Model: "m", Outputs: []tensor.Tensor{tt}}
		_, err := r.Encode(nil, nil)
		if !problem.Is(err, problem.Invalid) || !strings.Contains(problem.Of(err).Remedy, "binary_data_output") {
			t.Errorf("%s: %v, want a refusal that names binary_data_output", name, err)
		}
		if _, err := r.Encode(nil, func(string) bool { return true }); err != nil {
			t.Errorf("%s in binary: %v", name, err)
		}
	}
}

func TestPick(t *testing.T) {
	r := &oip.Request{Outputs: []oip.Output{{Name: "ok"}, {Name: "scores"}}}
	got, err := r.Pick(response().Outputs)
	if err != nil || len(got) != 2 || got[0].Name != "ok" || got[1].Name != "scores" {
		t.Errorf("picked %v, %v, want ok and scores", got, err)
	}
	r.Outputs[0].Name = "none"
	_, err = r.Pick(response().Outputs)
	refused(t, err, `no output "none"`)
}

func TestErrorForm(t *testing.T) {
	w := httptest.NewRecorder()
	oip.WriteError(w, problem.New(problem.Busy, "Try again.", "The queue is full."))
	if got := w.Body.String(); got != `{"error":"The queue is full. Try again."}`+"\n" {
		t.Errorf("body %s", got)
	}
	if w.Code != 429 || w.Header().Get("X-Error-Code") != "busy" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestReadResponse(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v2/models/none/infer":
			oip.WriteError(w, problem.New(problem.NotFound, "Load it.", "No such model."))
		case "/v2/models/page/infer":
			_, _ = w.Write([]byte("<html>"))
		default:
			if r.Header.Get(oip.HeaderLength) != "0" || r.ContentLength != 3 {
				t.Errorf("headers %v", r.Header)
			}
			one := &oip.Response{Model: "m", Outputs: []tensor.Tensor{
				tensor.FromBytes("detections", []byte(`{"label":"face","score":0.5,"box":[1,2,3,4]}`)),
			}}
			body, err := one.Encode(nil, nil)
			if err != nil {
				t.Error(err)
			}
			body.SetHeaders(w.Header())
			_, _ = w.Write(body.Bytes)
		}
	}))
	defer server.Close()
	ask := func(name string, limit int64) (*oip.Response, error) {
		hr, err := oip.NewImageRequest(t.Context(), server.URL, name, "", []byte("abc"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := server.Client().Do(hr)
		if err != nil {
			t.Fatal(err)
		}
		return oip.ReadResponse(got, limit)
	}
	got, err := ask("m", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	all, err := oip.Detections(got.Outputs[0])
	want := []oip.Detection{{Label: "face", Score: 0.5, Box: []float64{1, 2, 3, 4}}}
	if err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("detections %v, %v, want %v", all, err, want)
	}
	if _, err := ask("m", 10); !problem.Is(err, problem.TooLarge) {
		t.Errorf("a long answer: %v, want too large", err)
	}
	if _, err := ask("none", 1<<20); !problem.Is(err, problem.NotFound) || problem.Of(err).Detail != "No such model. Load it." {
		t.Errorf("an error: %v, want not found", err)
	}
	if _, err := ask("page", 1<<20); !problem.Is(err, problem.Unexpected) {
		t.Errorf("a page: %v, want unexpected", err)
	}
	if _, err := oip.Detections(tensor.FromBytes("d", []byte(`{"box":[1]}`))); err == nil {
		t.Error("a box of one number is taken")
	}
}

// Members that are arrays are arrays even when empty.
func TestMetadataHasArrays(t *testing.T) {
	b, err := json.Marshal(oip.Metadata(model.Metadata{Name: "m", Platform: "onnx_builtin", Inputs: []tensor.Spec{{Name: "x", Type: tensor.Float32}}}))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"m","versions":[],"platform":"onnx_builtin","inputs":[{"name":"x","datatype":"FP32","shape":[]}],"outputs":[]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestRepositoryBodies(t *testing.T) {
	var index oip.IndexRequest
	for body, want := range map[string]bool{"": false, "{}": false, ` {"ready":true} `: true} {
		index = oip.IndexRequest{}
		if err := oip.DecodeOptional([]byte(body), &index); err != nil || index.Ready != want {
			t.Errorf("%q: ready %v, %v, want %v", body, index.Ready, err, want)
		}
	}
	for _, body := range []string{"x", `{"ready":1}`, `{}{}`, `{"ready":true`} {
		refused(t, oip.DecodeOptional([]byte(body), &index), "cannot be read")
	}
	var load oip.LoadRequest
	refused(t, oip.DecodeOptional([]byte(`{"ready":"x"}`), &index), `"ready" cannot be a string`)
	refused(t, oip.DecodeOptional([]byte(`{"parameters":3}`), &load), `"parameters" cannot be a number`)
	refused(t, oip.DecodeOptional([]byte(`[1]`), &load), "it is an array and no object")
	refused(t, oip.DecodeOptional([]byte(`{"ready"`), &index), "the JSON breaks off")
	for _, name := range []string{"config", "file:1/model.onnx"} {
		refused(t, oip.LoadRequest{Parameters: map[string]any{name: "x"}}.Refuse(), name)
	}
	if err := (oip.LoadRequest{Parameters: map[string]any{"unload_dependents": true}}).Refuse(); err != nil {
		t.Error(err)
	}
}
