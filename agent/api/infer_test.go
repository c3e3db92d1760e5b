package api_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/api"
	"primespark/agent/infer"
	"primespark/shared/oip"
	"primespark/shared/problem"
)

func floats(v ...float32) string {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return string(b)
}

const doubleBinary = `{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]`

// The protocol's rules for inference, as a client sees them.
func TestInferenceConformance(t *testing.T) {
	const one = `"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2.5]}]`
	y := `{"name":"y","datatype":"FP32","shape":[1,2],"data":[2,5]}`
	n := `{"name":"n","datatype":"INT64","shape":[1],"data":[2]}`
	wrap := func(id, outputs string) string {
		return `{"model_name":"double","model_version":"1",` + id + `"outputs":[` + outputs + `]}`
	}
	for name, test := range map[string]struct {
		json, tail string // the header is sent if tail is not empty
		wantJSON   string
		wantTail   string
	}{
		"id is returned":                       {`{"id":"a-1",` + one + `}`, "", wrap(`"id":"a-1",`, y+","+n), ""},
		"no id, none returned":                 {`{` + one + `}`, "", wrap("", y+","+n), ""},
		"only the outputs asked for":           {`{` + one + `,"outputs":[{"name":"n"}]}`, "", wrap("", n), ""},
		"outputs in the order asked for":       {`{` + one + `,"outputs":[{"name":"n"},{"name":"y"}]}`, "", wrap("", n+","+y), ""},
		"unknown parameters have no effect":    {`{"parameters":{"sequence_id":7,"own":"x"},` + one + `}`, "", wrap("", y+","+n), ""},
		"binary input, JSON output":            {doubleBinary + `}`, floats(1, 2.5), wrap("", y+","+n), ""},
		"binary output of one by binary_data":  {`{` + one + `,"outputs":[{"name":"y","parameters":{"binary_data":true}},{"name":"n"}]}`, "", wrap("", `{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},`+n), floats(2, 5)},
		"binary outputs by binary_data_output": {`{"parameters":{"binary_data_output":true},` + one + `}`, "", wrap("", `{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"n","datatype":"INT64","shape":[1],"parameters":{"binary_data_size":8}}`), floats(2, 5) + "\x02\x00\x00\x00\x00\x00\x00\x00"},
		"binary_data overrides":                {`{"parameters":{"binary_data_output":true},` + one + `,"outputs":[{"name":"y","parameters":{"binary_data":false}}]}`, "", wrap("", y), ""},
		"binary both ways":                     {doubleBinary + `,"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`, floats(-1, 0.5), wrap("", `{"name":"y","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}}`), floats(-2, 1)},
		"classification of one output":         {`{` + one + `,"outputs":[{"name":"y","parameters":{"classification":1}},{"name":"n"}]}`, "", wrap("", `{"name":"y","datatype":"BYTES","shape":[1,1],"data":["5:1:odd"]},`+n), ""},
		"classification, binary":               {`{` + one + `,"outputs":[{"name":"y","parameters":{"classification":9,"binary_data":true}}]}`, "", wrap("", `{"name":"y","datatype":"BYTES","shape":[1,2],"parameters":{"binary_data_size":23}}`), "\x07\x00\x00\x005:1:odd\x08\x00\x00\x002:0:even"},
		"several inferences at once":           {`{"inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2],[3,4]]}],"outputs":[{"name":"y"}]}`, "", wrap("", `{"name":"y","datatype":"FP32","shape":[2,2],"data":[2,4,6,8]}`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, api.Config{})
			var header []string
			if test.tail != "" {
				header = []string{oip.HeaderLength, fmt.Sprint(len(test.json))}
			}
			w := r.ask("POST", "/v2/models/double/infer", test.json+test.tail, header...)
			body := w.Body.String()
			if w.Code != 200 || body != test.wantJSON+test.wantTail {
				t.Fatalf("got  %d %q\nwant %q", w.Code, body, test.wantJSON+test.wantTail)
			}
			length := w.Header().Get(oip.HeaderLength)
			if want := fmt.Sprint(len(test.wantJSON)); test.wantTail != "" && length != want || test.wantTail == "" && length != "" {
				t.Errorf("%s: %q", oip.HeaderLength, length)
			}
		})
	}
}

// Who names a raw output of a model that takes images gets it, without saying
// that there shall be no post-processing.
func TestRawOutputOfAnImage(t *testing.T) {
	r := newRig(t, api.Config{})
	for request, want := range map[string]string{
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["jpeg"]}],"outputs":[{"name":"boxes"}]}`:                                   `"data":[1,2,3,4]`,
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["jpeg"]}],"outputs":[{"name":"boxes","parameters":{"classification":1}}]}`: `"data":["4:3"]`,
		`{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["jpeg"]}],"outputs":[{"name":"detections"}]}`:                              `face`,
	} {
		if w := r.ask("POST", "/v2/models/faces/infer", request); w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, want %s", request, w.Code, w.Body, want)
		}
	}
}

// The raw form, and the kinder ways of sending an image.
func TestRawForms(t *testing.T) {
	jpeg := "\xff\xd8\xff picture"
	detections := `{"model_name":"faces","model_version":"2","outputs":[{"name":"detections","datatype":"BYTES","shape":[1],` +
		`"data":["{\"label\":\"face\",\"score\":0.9,\"box\":[1,2,3,4]}"]}]}`
	size := len(jpeg) + 4
	tensorJSON := fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}`, size)
	for name, test := range map[string]struct {
		body   string
		header []string
	}{
		"with the header":  {jpeg, []string{oip.HeaderLength, "0"}},
		"as curl sends it": {jpeg, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"as an image":      {jpeg, []string{"Content-Type", "image/jpeg"}},
		"without a type":   {jpeg, nil},
		"as a tensor":      {tensorJSON + string(binary.LittleEndian.AppendUint32(nil, uint32(len(jpeg)))) + jpeg, []string{oip.HeaderLength, fmt.Sprint(len(tensorJSON))}},
	} {
		r := newRig(t, api.Config{})
		w := r.ask("POST", "/v2/models/faces/infer", test.body, test.header...)
		if w.Code != 200 || w.Body.String() != detections {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
			continue
		}
		got := r.models.request().Inputs[0]
		elements, err := got.Elements()
		if err != nil || len(elements) != 1 || len(got.Shape) != 1 {
			t.Errorf("%s: the model got %v, %v", name, got, err)
		}
	}
	// "all the model output will be requested to be returned in binary tensor form"
	r := newRig(t, api.Config{})
	w := r.ask("POST", "/v2/models/double/infer", floats(1, 2), oip.HeaderLength, "0")
	if w.Code != 200 || !strings.HasSuffix(w.Body.String(), floats(2, 4)+"\x02\x00\x00\x00\x00\x00\x00\x00") {
		t.Errorf("raw tensor: %d %q", w.Code, w.Body)
	}
}

// What a client does wrong gets a 4xx of the protocol's form, with a remedy.
func TestBadInput(t *testing.T) {
	const ok = `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
	for name, test := range map[string]struct {
		path, body string
		header     []string
		status     int
		code       problem.Code
		text       string
	}{
		"unknown model":          {"nonesuch", ok, nil, 404, problem.NotFound, "The models here are"},
		"unknown version":        {"double/versions/7", ok, nil, 404, problem.NotFound, "no model"},
		"hostile model name":     {"%2e%2e%2fetc", ok, nil, 404, problem.NotFound, "no model"},
		"not loaded":             {"broken", ok, nil, 503, problem.NotReady, "Copy the package again."},
		"empty body":             {"double", "", nil, 400, problem.Invalid, "body is empty"},
		"no JSON":                {"double", "hello", nil, 400, problem.Invalid, "broken at byte 0"},
		"wrong shape":            {"double", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,3],"data":[1,2,3]}]}`, nil, 400, problem.Invalid, "has shape [1 3], want [-1 2]"},
		"shape against data":     {"double", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2,3]}]}`, nil, 400, problem.Invalid, "more than 2 elements"},
		"wrong type":             {"double", `{"inputs":[{"name":"x","datatype":"INT32","shape":[1,2],"data":[1,2]}]}`, nil, 400, problem.Invalid, "has datatype INT32, want FP32"},
		"number out of range":    {"double", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,1e39]}]}`, nil, 400, problem.Invalid, `Input "x" has 1e39 at element 1`},
		"unknown output":         {"double", `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}],"outputs":[{"name":"z"}]}`, nil, 400, problem.Invalid, "Ask for one of: y, n."},
		"header beyond the body": {"double", ok, []string{oip.HeaderLength, "9999"}, 400, problem.Invalid, "says 9999"},
		"header no number":       {"double", ok, []string{oip.HeaderLength, "0x10"}, 400, problem.Invalid, "no one number"},
		"truncated binary":       {"double", doubleBinary + "}1234567", []string{oip.HeaderLength, fmt.Sprint(len(doubleBinary) + 1)}, 400, problem.Invalid, "body has 7 left"},
		"binary too long":        {"double", doubleBinary + "}123456789", []string{oip.HeaderLength, fmt.Sprint(len(doubleBinary) + 1)}, 400, problem.Invalid, "1 bytes after the last tensor"},
		"raw of wrong length":    {"double", "123", []string{oip.HeaderLength, "0"}, 400, problem.Invalid, "3 bytes cannot be input"},
		"broken image":           {"faces", "\xff\xd8\xffbroken", nil, 415, problem.BadMedia, "JPEG ends too early"},
		"compressed body":        {"double", ok, []string{"Content-Encoding", "gzip"}, 415, problem.BadMedia, "uncompressed"},
		"deadline no number":     {"double", ok, []string{"X-Deadline-Ms", "soon"}, 400, problem.Invalid, `X-Deadline-Ms is "soon"`},
		"deadline zero":          {"double", ok, []string{"X-Deadline-Ms", "0"}, 400, problem.Invalid, "from 1 to 86400000"},
		"deadline twice":         {"double", ok, []string{"X-Deadline-Ms", "1", "X-Deadline-Ms", "2"}, 400, problem.Invalid, `"1, 2"`},
		"priority too large":     {"double", ok, []string{"X-Priority", "8"}, 400, problem.Invalid, "from 0 to 7"},
		"priority negative":      {"double", ok, []string{"X-Priority", "-1"}, 400, problem.Invalid, "from 0 to 7"},
		"priority parameter":     {"double", `{"parameters":{"priority":9},` + ok[1:], nil, 400, problem.Invalid, `"priority" is 9`},
		"timeout parameter":      {"double", `{"parameters":{"timeout":"1s"},` + ok[1:], nil, 400, problem.Invalid, `"timeout" is "1s"`},
		"postprocess parameter":  {"double", `{"parameters":{"postprocess":1},` + ok[1:], nil, 400, problem.Invalid, "no boolean"},
		"too large":              {"double", strings.Repeat(" ", 2000) + ok, nil, 413, problem.TooLarge, "larger than 1024 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, api.Config{MaxBody: 1024})
			w := r.ask("POST", "/v2/models/"+test.path+"/infer", test.body, test.header...)
			var answer struct{ Error string }
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatalf("%d %s: %v", w.Code, w.Body, err)
			}
			if w.Code != test.status || w.Header().Get("X-Error-Code") != string(test.code) || !strings.Contains(answer.Error, test.text) {
				t.Errorf("got %d %s %q, want %d %s and %q", w.Code, w.Header().Get("X-Error-Code"), answer.Error, test.status, test.code, test.text)
			}
			if strings.Count(answer.Error, ". ") < 1 {
				t.Errorf("no remedy in %q", answer.Error)
			}
		})
	}
}

// A body of a gigabyte costs no more than 64 MB, whether its length is told or
// found out, and the connection ends with the answer.
func TestGigabyteBody(t *testing.T) {
	r := newRig(t, api.Config{})
	server := httptest.NewServer(r.api.Handler())
	defer server.Close()
	for name, length := range map[string]int64{"announced": 1 << 30, "chunked": -1} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			req, err := http.NewRequestWithContext(t.Context(), "POST", server.URL+"/v2/models/double/infer", io.LimitReader(spaces{}, 1<<30))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = length
			resp, err := server.Client().Do(req)
			if err != nil {
				t.Fatalf("the connection broke before the answer: %v", err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if resp.StatusCode != 413 || err != nil || !strings.Contains(string(text), "Send a smaller body") {
				t.Errorf("%d %s, %v", resp.StatusCode, text, err)
			}
			if !resp.Close {
				t.Error("the connection is to be used again, with a gigabyte still in it")
			}
			runtime.ReadMemStats(&after)
			if cost := (after.TotalAlloc - before.TotalAlloc) >> 20; cost > 64 {
				t.Errorf("it cost %d MiB", cost)
			}
		})
	}
	if w := r.ask("GET", "/livez", ""); w.Code != 200 {
		t.Error("the node does not answer afterwards")
	}
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// Bodies share a bounded memory: who does not fit is told to come back, and
// what was taken is given back.
func TestBodiesShareMemory(t *testing.T) {
	r := newRig(t, api.Config{MaxBody: 200 << 10, BodyMemory: 400 << 10})
	hold := make(chan struct{})
	held := make(chan struct{})
	r.models.wait = func(context.Context) error { held <- struct{}{}; <-hold; return nil }
	big := strings.Repeat(" ", 190<<10) + `{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
	first := make(chan int)
	go func() { first <- r.ask("POST", "/v2/models/double/infer", big).Code }()
	select {
	case <-held:
	case code := <-first:
		t.Fatalf("the first large body: %d, want it to be held", code)
	}
	w := r.ask("POST", "/v2/models/double/infer", big)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" {
		t.Errorf("a second large body: %d %s, want 429", w.Code, w.Body)
	}
	close(hold)
	if code := <-first; code != 200 {
		t.Errorf("the first large body: %d, want 200", code)
	}
	r.models.wait = nil
	for range 5 {
		if w := r.ask("POST", "/v2/models/double/infer", big); w.Code != 200 {
			t.Fatalf("afterwards: %d %s, want 200", w.Code, w.Body)
		}
	}
}

func TestDeadlinesAndPriorities(t *testing.T) {
	const inputs = `"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`
	for name, test := range map[string]struct {
		params   string
		header   []string
		deadline time.Duration
		priority int
	}{
		"defaults":                 {`{`, nil, 30 * time.Second, 3},
		"header":                   {`{`, []string{"X-Deadline-Ms", "1500", "X-Priority", "0"}, 1500 * time.Millisecond, 0},
		"parameters":               {`{"parameters":{"timeout":250000,"priority":7},`, nil, 250 * time.Millisecond, 7},
		"the nearer deadline":      {`{"parameters":{"timeout":9000000},`, []string{"X-Deadline-Ms", "100"}, 100 * time.Millisecond, 3},
		"the header's priority":    {`{"parameters":{"priority":7},`, []string{"X-Priority", "1"}, 30 * time.Second, 1},
		"no timeout by the number": {`{"parameters":{"timeout":0},`, nil, 30 * time.Second, 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, api.Config{})
				r.models.wait = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
				start := time.Now()
				w := r.ask("POST", "/v2/models/double/infer", test.params+inputs, test.header...)
				if w.Code != 504 || w.Header().Get("X-Error-Code") != "deadline" {
					t.Errorf("got %d %s, want 504", w.Code, w.Body)
				}
				if took := time.Since(start); took != test.deadline {
					t.Errorf("it took %v, want %v", took, test.deadline)
				}
				if got := r.models.request().Priority; got != test.priority {
					t.Errorf("priority %d, want %d", got, test.priority)
				}
			})
		})
	}
}

func TestErrorsOfModels(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want int
		code problem.Code
	}{
		"busy":   {infer.ErrBusy, 429, problem.Busy},
		"closed": {fmt.Errorf("session: %w", infer.ErrClosed), 503, problem.NotReady},
		"ours":   {fmt.Errorf("read /secret: %w", io.ErrUnexpectedEOF), 500, problem.Unexpected},
		"words":  {problem.New(problem.NoCapacity, "Wait.", "No room."), 503, problem.NoCapacity},
	} {
		r := newRig(t, api.Config{})
		r.models.wait = func(context.Context) error { return test.err }
		w := r.ask("POST", "/v2/models/double/infer", floats(1, 2), oip.HeaderLength, "0")
		if w.Code != test.want || w.Header().Get("X-Error-Code") != string(test.code) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the client learns %s", name, w.Body)
		}
		if logged := strings.Contains(r.log.String(), "secret"); logged != (name == "ours") {
			t.Errorf("%s: the log has %q", name, r.log)
		}
	}
}

// Requests that were run together are one execution, of the size that the run had.
func TestCountsRuns(t *testing.T) {
	r := newRig(t, api.Config{})
	r.models.runs = []infer.Run{{Size: 1, First: true}, {Size: 3, First: true}, {Size: 3}, {Size: 3}, {}}
	for range 5 {
		r.ask("POST", "/v2/models/double/infer", floats(1, 2), oip.HeaderLength, "0")
	}
	var got oip.Stats
	w := r.ask("GET", "/v2/models/double/stats", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Models) != 1 {
		t.Fatalf("%s: %v", w.Body, err)
	}
	m := got.Models[0]
	if m.InferenceCount != 5 || m.ExecutionCount != 3 || m.Inference.ComputeInfer.Count != 5 {
		t.Errorf("%d inferences in %d runs, %d of them timed; want 5, 3 and 5", m.InferenceCount, m.ExecutionCount, m.Inference.ComputeInfer.Count)
	}
	sizes := map[int]uint64{}
	for _, b := range m.Batches {
		sizes[b.Size] = b.ComputeInfer.Count
	}
	if len(sizes) != 2 || sizes[1] != 2 || sizes[3] != 1 {
		t.Errorf("runs by size are %v, want two of 1 and one of 3", sizes)
	}
	if got := r.ask("GET", "/metrics", "").Body.String(); !strings.Contains(got, `primespark_inference_run_size_count{model="double"} 2`) {
		t.Errorf("the metrics lack two runs: %s", got)
	}
}

// Statistics and metrics count what happened, and nothing else.
func TestCounts(t *testing.T) {
	r := newRig(t, api.Config{})
	for range 3 {
		r.ask("POST", "/v2/models/double/infer", floats(1, 2), oip.HeaderLength, "0")
	}
	r.ask("POST", "/v2/models/double/infer", floats(1, 2, 3, 4), oip.HeaderLength, "0")
	r.ask("POST", "/v2/models/double/infer", "nonsense")
	r.ask("POST", "/v2/models/invented/infer", "nonsense")
	var got oip.Stats
	w := r.ask("GET", "/v2/models/double/stats", "")
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || len(got.Models) != 1 {
		t.Fatalf("%s: %v", w.Body, err)
	}
	m := got.Models[0]
	if m.InferenceCount != 5 || m.ExecutionCount != 4 || m.Inference.Success.Count != 4 || m.Inference.Fail.Count != 1 {
		t.Errorf("%d inferences in %d runs, %d successes, %d failures; want 5 in 4, 4 and 1",
			m.InferenceCount, m.ExecutionCount, m.Inference.Success.Count, m.Inference.Fail.Count)
	}
	if m.Inference.ComputeInfer != (oip.Duration{Count: 4, Nanos: 14_000_000}) {
		t.Errorf("compute_infer %+v, want 4 times 3.5 ms", m.Inference.ComputeInfer)
	}
	if len(m.Batches) != 2 || m.Batches[0].ComputeInfer.Count != 3 || m.Batches[1].Size != 2 || m.Batches[1].ComputeInfer.Count != 1 {
		t.Errorf("batches %+v, want 3 of one and 1 of two", m.Batches)
	}
	if age := time.Since(time.UnixMilli(m.LastInference)); age < 0 || age > time.Minute {
		t.Errorf("the last inference was %v ago", age)
	}
	text := r.ask("GET", "/metrics", "").Body.String()
	for _, want := range []string{
		`primespark_inference_requests_total{code="ok",model="double"} 4`,
		`primespark_inference_requests_total{code="invalid",model="double"} 1`,
		`primespark_inference_requests_total{code="not_found",model=""} 1`,
		`primespark_inference_infer_seconds_sum{model="double"} 0.014`,
		`primespark_inference_queue_seconds_count{model="double"} 4`,
		`primespark_inference_decode_seconds_count{model="double"} 4`,
		`primespark_inference_post_seconds_count{model="double"} 4`,
		`primespark_inference_in_flight 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("metrics lack %s", want)
		}
	}
	if strings.Contains(text, "invented") {
		t.Error("a name that a client made up is in the metrics")
	}
}

func FuzzInfer(f *testing.F) {
	f.Add([]byte(`{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":[1,2]}]}`), "", "")
	f.Add([]byte("\xff\xd8\xff"), "0", "image/jpeg")
	f.Add([]byte(doubleBinary+"}12345678"), fmt.Sprint(len(doubleBinary)+1), "application/octet-stream")
	f.Fuzz(func(t *testing.T, body []byte, length, mime string) {
		r := newRig(t, api.Config{})
		for _, name := range []string{"double", "faces"} {
			w := r.ask("POST", "/v2/models/"+name+"/infer", string(body), oip.HeaderLength, length, "Content-Type", mime)
			if w.Code >= 500 {
				t.Errorf("%d %s, log %s", w.Code, w.Body, r.log)
			}
			if w.Code != 200 && !strings.HasPrefix(w.Body.String(), `{"error":"`) {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
	})
}
