package oip_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"primespark/shared/oip"
)

// A rule is a sentence of the documents with a request that it is about, and what
// must come of it. The documents are those of kserve/open-inference-protocol
// (inference_rest.md) and of Triton's protocol extensions (extension_*.md).
type rule struct {
	says   string // the sentence, as it stands there
	method string // POST if empty
	path   string
	json   string // of the body
	tail   string // of the body: binary data; then the header with the length of the JSON is sent
	length string // the header, if it is to be another

	status int    // 200 if 0
	want   string // the answer's JSON, as a whole; or, with a / before it, a regular expression in it
	binary string // the answer's binary data
}

const (
	infer0  = `"inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]},{"name":"input1","shape":[3],"datatype":"BOOL","data":[true,false,true]}]`
	output0 = `"shape":[3,2],"datatype":"FP32","data":[1.0,1.1,2.0,2.1,3.0,3.1]`
)

func floats(v ...float32) string {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err) // floats always can
	}
	return string(b)
}

func mymodel(id, outputs string) string {
	return `{"model_name":"mymodel","model_version":"1",` + id + `"outputs":[` + outputs + `]}`
}

func echoed(outputs string) string {
	return `{"model_name":"echo","model_version":"2","outputs":[` + outputs + `]}`
}

func three(outputs string) string { return strings.Replace(echoed(outputs), "echo", "three", 1) }

var restRules = []rule{
	// Health.
	{says: "The server live endpoint returns the liveness probe response for the server.", method: "GET", path: "/v2/health/live", want: `/"live":true`},
	{says: "The server ready endpoint returns the readiness probe response for the server.", method: "GET", path: "/v2/health/ready", want: `/"live":true`},
	{says: "The model ready endpoint returns the readiness probe response for the server along with the name of the model.", method: "GET", path: "/v2/models/mymodel/ready", want: `{"name":"mymodel","ready":true}`},
	{says: "The model name and (optionally) version must be available in the URL.", method: "GET", path: "/v2/models/mymodel/versions/1/ready", want: `{"name":"mymodel","ready":true}`},

	// Metadata.
	{says: "A successful server metadata request is indicated by a 200 HTTP status code.", method: "GET", path: "/v2", want: `/^{"name":"prime-spark","version":"[^"]+","extensions":\["binary_tensor_data","classification","model_repository","statistics"\]}$`},
	{says: "A successful model metadata request is indicated by a 200 HTTP status code.", method: "GET", path: "/v2/models/mymodel", want: `{"name":"mymodel","versions":["1"],"platform":"onnx_builtin","inputs":[{"name":"input0","datatype":"UINT32","shape":[2,2]},{"name":"input1","datatype":"BOOL","shape":[3]}],"outputs":[{"name":"output0","datatype":"FP32","shape":[3,2]}]}`},
	{says: "Variable-size dimensions are specified as -1.", method: "GET", path: "/v2/models/echo/versions/2", want: `/"shape":\[-1,2\]`},
	{says: "A failed model metadata request must be indicated by an HTTP error status (typically 400).", method: "GET", path: "/v2/models/none", status: 404, want: `/^{"error":"[^"]{10,}`},
	{says: `"versions" : The model versions that may be explicitly requested via the appropriate endpoint.`, method: "GET", path: "/v2/models/mymodel/versions/2", status: 404, want: `/^{"error":"`},

	// Inference.
	{says: "For the above request the inference server must return the “output0” output tensor.", path: "/v2/models/mymodel/infer", json: `{"id":"42",` + infer0 + `,"outputs":[{"name":"output0"}]}`, want: mymodel(`"id":"42",`, `{"name":"output0",`+output0+`}`)},
	{says: `"id" : An identifier for this request. Optional, but if specified this identifier must be returned in the response.`, path: "/v2/models/mymodel/infer", json: `{` + infer0 + `}`, want: mymodel("", `{"name":"output0",`+output0+`}`)},
	{says: "If a version is not provided the server may choose a version based on its own policies or return an error.", path: "/v2/models/mymodel/versions/1/infer", json: `{` + infer0 + `}`, want: mymodel("", `{"name":"output0",`+output0+`}`)},
	{says: "Optional, if not specified all outputs produced by the model will be returned using default $request_output settings.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","data":[1]},{"name":"y","shape":[1],"datatype":"UINT8","data":[2]}]}`, want: echoed(`{"name":"x","datatype":"UINT8","shape":[1],"data":[1]},{"name":"y","datatype":"UINT8","shape":[1],"data":[2]}`)},
	{says: "The $request_output JSON is used to request which output tensors should be returned from the model.", path: "/v2/models/mymodel/infer", json: `{` + infer0 + `,"outputs":[{"name":"none"}]}`, status: 400, want: `/^{"error":".*none`},
	{says: "If the input is batched, the shape and data must represent the full shape and contents of the entire batch.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[1,2,3]}]}`, status: 400, want: `/^{"error":".*elements`},
	{says: "Each dimension must be an integer representable as an unsigned 64-bit integer value.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[-1,2],"datatype":"FP32","data":[1,2]}]}`, status: 400, want: `/^{"error":".*shape`},
	{says: "Tensor elements may be presented in their nature multi-dimensional representation, or as a flattened one-dimensional representation.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT8","data":[[1,-2],[3,4]]}]}`, want: echoed(`{"name":"x","datatype":"INT8","shape":[2,2],"data":[1,-2,3,4]}`)},
	{says: "Currently, no parameters are defined. As required a future proposal may define one or more standard parameters.", path: "/v2/models/mymodel/infer", json: `{"parameters":{"a":1,"b":"c","d":true},` + infer0 + `}`, want: mymodel("", `{"name":"output0",`+output0+`}`)},
	{says: "$inference_error_response = { \"error\": <error message string> }", path: "/v2/models/mymodel/infer", json: `{"inputs":`, status: 400, want: `/^{"error":".*byte`},
	{says: "A failed inference request must be indicated by an HTTP error status (typically 400).", path: "/v2/models/lame/infer", json: `{` + infer0 + `}`, status: -1, want: `/^{"error":"`},

	// extension_binary_data.md, and the raw request of its later edition.
	{says: "“binary_data_size” : int64 parameter indicating the size of the tensor binary data, in bytes.", path: "/v2/models/mymodel/infer", json: `{"model_name":"mymodel","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","parameters":{"binary_data_size":16}},{"name":"input1","shape":[3],"datatype":"BOOL","parameters":{"binary_data_size":3}}],"outputs":[{"name":"output0","parameters":{"binary_data":true}}]}`, tail: "\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00\x04\x00\x00\x00\x01\x00\x01", want: mymodel("", `{"name":"output0","shape":[3,2],"datatype":"FP32","parameters":{"binary_data_size":24}}`), binary: floats(1, 1.1, 2, 2.1, 3, 3.1)},
	{says: "followed by the binary tensor data in the same order as the order of the input or output tensors are specified in the JSON", path: "/v2/models/three/infer", json: `{"inputs":[{"name":"a","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}},{"name":"b","shape":[1],"datatype":"UINT8","data":[7]},{"name":"c","shape":[1],"datatype":"INT16","parameters":{"binary_data_size":2}}],"outputs":[{"name":"c","parameters":{"binary_data":true}},{"name":"b"},{"name":"a","parameters":{"binary_data":true}}]}`, tail: "\x01\x02\x03", want: three(`{"name":"c","datatype":"INT16","shape":[1],"parameters":{"binary_data_size":2}},{"name":"b","datatype":"UINT8","shape":[1],"data":[7]},{"name":"a","datatype":"UINT8","shape":[1],"parameters":{"binary_data_size":1}}`), binary: "\x02\x03\x01"},
	{says: "“binary_data_output” : bool parameter that is true if all outputs should be returned as binary data and false (or not given) if the outputs should be returned as JSON.", path: "/v2/models/mymodel/infer", json: `{"parameters":{"binary_data_output":true},` + infer0 + `}`, want: mymodel("", `{"name":"output0","shape":[3,2],"datatype":"FP32","parameters":{"binary_data_size":24}}`), binary: floats(1, 1.1, 2, 2.1, 3, 3.1)},
	{says: "If “binary_data” is specified on an output it overrides this setting.", path: "/v2/models/mymodel/infer", json: `{"parameters":{"binary_data_output":true},` + infer0 + `,"outputs":[{"name":"output0","parameters":{"binary_data":false}}]}`, want: mymodel("", `{"name":"output0",`+output0+`}`)},
	{says: "For BOOL type element true is a single byte with value 1 and false is a single byte with value 0.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2],"datatype":"BOOL","parameters":{"binary_data_size":2}}]}`, tail: "\x01\x00", want: echoed(`{"name":"x","datatype":"BOOL","shape":[2],"data":[true,false]}`)},
	{says: "For BYTES type an element is represented by a 4-byte unsigned integer giving the length followed by the actual bytes.", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2],"datatype":"BYTES","parameters":{"binary_data_size":11}}]}`, tail: "\x02\x00\x00\x00hi\x01\x00\x00\x00!", want: echoed(`{"name":"x","datatype":"BYTES","shape":[2],"data":["hi","!"]}`)},
	{says: "All tensor data types are representable as binary data in the native size of the data type.", path: "/v2/models/echo/infer", json: `{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1],"datatype":"FP16","parameters":{"binary_data_size":2}},{"name":"y","shape":[1],"datatype":"BF16","parameters":{"binary_data_size":2}}]}`, tail: "\x00\x3c\x80\x3f", want: echoed(`{"name":"x","datatype":"FP16","shape":[1],"parameters":{"binary_data_size":2}},{"name":"y","datatype":"BF16","shape":[1],"parameters":{"binary_data_size":2}}`), binary: "\x00\x3c\x80\x3f"},
	{says: "If any binary data is present in the request or response the Inference-Header-Content-Length header must be provided to give the length of the JSON object", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}` + "\x01", status: 400, want: `/^{"error":"`},
	{says: "Content-Length continues to give the full body length (as HTTP requires)", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":2}}]}`, tail: "\x01", status: 400, want: `/^{"error":".*1 left`},
	{says: "(more binary data than the tensors have)", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[1],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}`, tail: "\x01\x02", status: 400, want: `/^{"error":".*after the last tensor`},
	{says: "(binary_data_size that does not fit the shape)", path: "/v2/models/echo/infer", json: `{"inputs":[{"name":"x","shape":[2],"datatype":"UINT8","parameters":{"binary_data_size":1}}]}`, tail: "\x01", status: 400, want: `/^{"error":"`},
	{says: "(a length of the JSON that is none)", path: "/v2/models/echo/infer", json: `{` + infer0 + `}`, length: "many", status: 400, want: `/^{"error":".*Inference-Header-Content-Length`},
	{says: "(raw request) Inference-Header-Content-Length: 0 ... the number of variable size dimensions is at most 1", path: "/v2/models/echo/infer", json: floats(1, 2, 3, 4), length: "0", want: echoed(`{"name":"x","datatype":"FP32","shape":[2,2],"parameters":{"binary_data_size":16}}`), binary: floats(1, 2, 3, 4)},
	{says: "(raw request) Only has 1 input", path: "/v2/models/mymodel/infer", json: "abcd", length: "0", status: 400, want: `/^{"error":".*2 inputs`},
	{says: "(raw request) an image, for a model that takes them", path: "/v2/models/photos/infer", json: "\xff\xd8\xff photo", length: "0", want: `/"name":"detections","datatype":"BYTES","shape":\[1\],"data":\["{\\"label\\":\\"cat\\"}"\]`},

	// extension_classification.md.
	{says: "the response will be the following. \"data\" : [ \"3.3:1:index_1_label\", \"2.4:3:index_3_label\" ]", path: "/v2/models/scores/infer", json: `{"id":"42","inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]}],"outputs":[{"name":"output0","parameters":{"classification":2}}]}`, want: `{"model_name":"scores","model_version":"1","id":"42","outputs":[{"name":"output0","datatype":"BYTES","shape":[2],"data":["3.3:1:index_1_label","2.4:3:index_3_label"]}]}`},
	{says: "“classification” : $number indicating the number of classes that should be returned for the output.", path: "/v2/models/scores/infer", json: `{"inputs":[{"name":"input0","shape":[2,2],"datatype":"UINT32","data":[1,2,3,4]}],"outputs":[{"name":"output0","parameters":{"classification":"two"}}]}`, status: 400, want: `/^{"error":".*classification`},

	// extension_model_repository.md.
	{says: "The index API returns information about every model available in a model repository, even if it is not currently loaded into Triton.", path: "/v2/repository/index", json: `{}`, want: `/"name":"lame","version":"1","state":"UNAVAILABLE","reason":"[^"]*sha256 differs"`},
	{says: "\"ready\" : Optional, default is false. If true return only models ready for inferencing.", path: "/v2/repository/index", json: `{"ready":true}`, want: `/^\[({[^}]*"state":"READY"[^}]*},?){5}\]$`},
	{says: "A failed index request must be indicated by an HTTP error status (typically 400).", path: "/v2/repository/index", json: `{"ready":7}`, status: 400, want: `/^{"error":"`},
	{says: "A load request is made with an HTTP POST to a load endpoint. The HTTP body may be empty or may contain the load request object", path: "/v2/repository/models/mymodel/load"},
	{says: "“parameters” : An object containing zero or more parameters for this request expressed as key/value pairs.", path: "/v2/repository/models/mymodel/load", json: `{"parameters":{}}`},
	{says: "A failed load request must be indicated by an HTTP error status (typically 400).", path: "/v2/repository/models/none/load", status: 404, want: `/^{"error":"`},
	{says: "“config” : string parameter that contains a JSON representation of the model configuration (refused: a node runs what is in its store)", path: "/v2/repository/models/mymodel/load", json: `{"parameters":{"config":"{}"}}`, status: 400, want: `/^{"error":"`},
	{says: "A successful unload request is indicated by a 200 HTTP status.", path: "/v2/repository/models/mymodel/unload"},
	{says: "“unload_dependents” : boolean parameter indicating that in addition to unloading the requested model, also unload any dependent model", path: "/v2/repository/models/mymodel/unload", json: `{"parameters":{"unload_dependents":true}}`},

	// extension_statistics.md.
	{says: "The specific model name portion of the URL is optional; if not provided Triton will return the statistics for all versions of all models.", method: "GET", path: "/v2/models/stats", want: `/"name":"echo","version":"2","last_inference":[1-9]`},
	{says: "If a specific model is given in the URL the versions portion of the URL is optional", method: "GET", path: "/v2/models/mymodel/stats", want: `/^{"model_stats":\[{"name":"mymodel","version":"1","last_inference":\d+,"inference_count":\d+,"execution_count":\d+,"inference_stats":{"success":{"count":[1-9]\d*,"ns":\d+},"fail":{"count":\d+,"ns":\d+},"queue":{.*},"compute_input":{.*},"compute_infer":{.*},"compute_output":{.*},"cache_hit":{.*},"cache_miss":{.*}},"batch_stats":\[{"batch_size":1,"compute_input":{.*},"compute_infer":{.*},"compute_output":{.*}}\]}\]}$`},
	{says: "GET v2/models[/${MODEL_NAME}[/versions/${MODEL_VERSION}]]/stats", method: "GET", path: "/v2/models/mymodel/versions/1/stats", want: `/"name":"mymodel"`},
	{says: "A failed statistics request will be indicated by an HTTP error status (typically 400).", method: "GET", path: "/v2/models/none/stats", status: 404, want: `/^{"error":"`},
}

func TestRESTKeepsTheRules(t *testing.T) {
	for _, s := range servers(t) {
		for _, r := range restRules {
			t.Run(s.name+"/"+r.says, func(t *testing.T) { r.check(t, "http://"+s.address) })
		}
	}
}

func (r rule) check(t *testing.T, base string) {
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(t.Context(), method, base+r.path, strings.NewReader(r.json+r.tail))
	if err != nil {
		t.Fatal(err)
	}
	if r.tail != "" {
		req.Header.Set(oip.HeaderLength, fmt.Sprint(len(r.json)))
	}
	if r.length != "" {
		req.Header.Set(oip.HeaderLength, r.length)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, tail := string(body), ""
	if length := res.Header.Get(oip.HeaderLength); length != "" {
		var n int
		if _, err := fmt.Sscan(length, &n); err != nil || n > len(text) {
			t.Fatalf("header %s is %q for %d bytes", oip.HeaderLength, length, len(text))
		}
		text, tail = text[:n], text[n:]
	}
	switch {
	case r.status == -1:
		if res.StatusCode < 400 {
			t.Errorf("status %d, want an error", res.StatusCode)
		}
	case res.StatusCode != max(r.status, 200) && (r.status == 0 || res.StatusCode != r.status):
		t.Fatalf("status %d, want %d: %s", res.StatusCode, max(r.status, 200), text)
	}
	if tail != r.binary {
		t.Errorf("binary data %q, want %q", tail, r.binary)
	}
	if res.StatusCode >= 400 {
		refusal(t, text)
	}
	if pattern, ok := strings.CutPrefix(r.want, "/"); ok {
		if !regexp.MustCompile(pattern).MatchString(strings.TrimSpace(text)) {
			t.Errorf("got  %s\nwant %s", text, pattern)
		}
	} else if r.want != "" && !sameJSON(t, text, r.want) {
		t.Errorf("got  %s\nwant %s", text, r.want)
	}
}

// refusal checks that a body is {"error": $string} and no more.
func refusal(t *testing.T, body string) {
	t.Helper()
	var whole map[string]any
	if err := json.Unmarshal([]byte(body), &whole); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if s, ok := whole["error"].(string); !ok || len(whole) != 1 || s == "" || !utf8.ValidString(s) {
		t.Errorf("a refusal is %s", body)
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	for text, to := range map[string]*any{a: &x, b: &y} {
		if err := json.Unmarshal([]byte(text), to); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
	}
	return a == b || reflect.DeepEqual(x, y)
}
