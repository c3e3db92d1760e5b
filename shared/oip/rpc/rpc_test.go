package rpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"primespark/shared/oip/rpc"
	"primespark/shared/oip/rpc/rpctest"
	"primespark/shared/problem"
)

const floats = `"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1.5, -2]}}]`

func TestCalls(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{})
	for name, test := range map[string]struct {
		method, request, want string
	}{
		"live":            {"ServerLive", `{}`, `{"live": true}`},
		"ready":           {"ServerReady", `{}`, `{"ready": true}`},
		"model ready":     {"ModelReady", `{"name": "echo"}`, `{"ready": true}`},
		"no such model":   {"ModelReady", `{"name": "none"}`, `{}`},
		"no such version": {"ModelReady", `{"name": "echo", "version": "9"}`, `{}`},
		"no model's name": {"ModelReady", `{"name": "../x"}`, `{}`},
		"server":          {"ServerMetadata", `{}`, `{"name": "test", "version": "7", "extensions": ["a", "b"]}`},
		"model":           {"ModelMetadata", `{"name": "echo"}`, `{"name": "echo", "versions": ["3"], "platform": "p", "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}]}`},
		"model, version":  {"ModelMetadata", `{"name": "echo", "version": "3"}`, `{"name": "echo", "versions": ["3"], "platform": "p", "inputs": [{"name": "x", "datatype": "FP32", "shape": ["-1", "2"]}]}`},
		"statistics": {"ModelStatistics", `{}`, `{"model_stats": [{"name": "echo", "version": "3", "last_inference": "4", "inference_count": "5", "execution_count": "6",
			"inference_stats": {"success": {"count": "1", "ns": "2"}, "fail": {}, "queue": {}, "compute_input": {}, "compute_infer": {}, "compute_output": {}, "cache_hit": {}, "cache_miss": {"count": "1", "ns": "2"}},
			"batch_stats": [{"batch_size": "8", "compute_input": {}, "compute_infer": {}, "compute_output": {"count": "1", "ns": "2"}}]}]}`},
		"index":       {"RepositoryIndex", `{"ready": true}`, `{"models": [{"name": "echo", "version": "3", "state": "READY", "reason": "{\"ready\":true}"}]}`},
		"load":        {"RepositoryModelLoad", `{"model_name": "echo", "parameters": {"a": {"bool_param": true}}}`, `{}`},
		"unload":      {"RepositoryModelUnload", `{"model_name": "echo", "parameters": {"unload_dependents": {"bool_param": true}}}`, `{}`},
		"typed":       {"ModelInfer", `{"model_name": "echo", "id": "7", ` + floats + `}`, `{"model_name": "echo", "model_version": "3", "id": "7", "outputs": [{"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32_contents": [1.5, -2]}}]}`},
		"typed, raw":  {"ModelInfer", `{"model_name": "echo", "parameters": {"binary_data_output": {"bool_param": true}}, ` + floats + `}`, `{"model_name": "echo", "model_version": "3", "outputs": [{"name": "x", "datatype": "FP32", "shape": ["1", "2"]}], "raw_output_contents": ["AADAPwAAAMA="]}`},
		"raw":         {"ModelInfer", `{"model_name": "echo", "model_version": "3", "inputs": [{"name": "x", "datatype": "FP16", "shape": [1]}], "raw_input_contents": ["AQI="]}`, `{"model_name": "echo", "model_version": "3", "outputs": [{"name": "x", "datatype": "FP16", "shape": ["1"]}], "raw_output_contents": ["AQI="]}`},
		"raw, typed":  {"ModelInfer", `{"model_name": "echo", "parameters": {"binary_data_output": {"bool_param": false}}, "inputs": [{"name": "x", "datatype": "INT8", "shape": [2]}], "raw_input_contents": ["/wE="]}`, `{"model_name": "echo", "model_version": "3", "outputs": [{"name": "x", "datatype": "INT8", "shape": ["2"], "contents": {"int_contents": [-1, 1]}}]}`},
		"one output":  {"ModelInfer", `{"model_name": "echo", "outputs": [{"name": "x", "parameters": {"binary_data": {"bool_param": false}}}], ` + floats + `}`, `{"model_name": "echo", "model_version": "3", "outputs": [{"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32_contents": [1.5, -2]}}]}`},
		"parameters":  {"ModelInfer", `{"model_name": "echo", "parameters": {"n": {"uint64_param": 3}}, ` + floats + `}`, `{"model_name": "echo", "model_version": "3", "parameters": {"n": {"int64_param": "3"}, "b": {"bool_param": false}, "s": {"string_param": ""}, "f": {"double_param": 0.5}}, "outputs": [{"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32_contents": [1.5, -2]}}]}`},
		"no elements": {"ModelInfer", `{"model_name": "echo", "inputs": [{"name": "x", "datatype": "INT64", "shape": [0]}]}`, `{"model_name": "echo", "model_version": "3", "outputs": [{"name": "x", "datatype": "INT64", "shape": ["0"], "contents": {}}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.Call(t, t.Context(), test.method, rpctest.Message(t, test.method+"Request", test.request))
			if r.Code != codes.OK {
				t.Fatalf("%s: %s", r.Code, r.Text)
			}
			if !same(t, r.JSON(), test.want) {
				t.Errorf("got %s\nwant %s", r.JSON(), test.want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{MaxMessage: 2 << 20})
	infer := func(rest string) string { return `{"model_name": "echo", ` + rest + `}` }
	input := func(rest string) string { return infer(`"inputs": [{"name": "x", ` + rest + `}]`) }
	for name, test := range map[string]struct {
		method, request string
		want            codes.Code
		says            string
	}{
		"unknown model":         {"ModelInfer", `{"model_name": "none", ` + floats + `}`, codes.NotFound, "nothing at POST /v2/models/none/infer. Look."},
		"unknown version":       {"ModelMetadata", `{"name": "echo", "version": "9"}`, codes.NotFound, "versions/9"},
		"a path for a name":     {"ModelMetadata", `{"name": "echo/versions/3"}`, codes.NotFound, "RepositoryIndex"},
		"a path for a version":  {"ModelStatistics", `{"name": "echo", "version": ".."}`, codes.NotFound, "version .."},
		"no name":               {"ModelMetadata", `{}`, codes.InvalidArgument, "names no model"},
		"no name to load":       {"RepositoryModelLoad", `{}`, codes.InvalidArgument, "names no model"},
		"files to load":         {"RepositoryModelLoad", `{"model_name": "echo", "parameters": {"file:1/model.onnx": {"bytes_param": "AA=="}}}`, codes.InvalidArgument, "not allowed"},
		"config to load":        {"RepositoryModelLoad", `{"model_name": "echo", "parameters": {"config": {"string_param": "{}"}}}`, codes.InvalidArgument, "not allowed"},
		"busy":                  {"ModelInfer", `{"model_name": "busy", ` + floats + `}`, codes.Unavailable, "Full: 100 % of 7 µs. Wait."},
		"late":                  {"ModelInfer", `{"model_name": "late", ` + floats + `}`, codes.DeadlineExceeded, "Late."},
		"our fault":             {"ModelInfer", `{"model_name": "ill", ` + floats + `}`, codes.Internal, "unexpected"},
		"half an answer":        {"ModelInfer", `{"model_name": "half", ` + floats + `}`, codes.Unavailable, "broke off"},
		"no inputs":             {"ModelInfer", infer(`"id": "1"`), codes.InvalidArgument, "no inputs"},
		"unknown datatype":      {"ModelInfer", input(`"datatype": "FLOAT"`), codes.InvalidArgument, "unknown datatype FLOAT"},
		"FP16 typed":            {"ModelInfer", input(`"datatype": "FP16", "shape": [1], "contents": {"fp32_contents": [1]}`), codes.InvalidArgument, "no typed contents"},
		"the wrong column":      {"ModelInfer", input(`"datatype": "INT32", "shape": [1], "contents": {"fp32_contents": [1]}`), codes.InvalidArgument, "int_contents"},
		"INT8 too large":        {"ModelInfer", input(`"datatype": "INT8", "shape": [1], "contents": {"int_contents": [128]}`), codes.InvalidArgument, "INT8 cannot hold"},
		"UINT16 too large":      {"ModelInfer", input(`"datatype": "UINT16", "shape": [1], "contents": {"uint_contents": [65536]}`), codes.InvalidArgument, "UINT16 cannot hold"},
		"too few":               {"ModelInfer", input(`"datatype": "FP32", "shape": [3], "contents": {"fp32_contents": [1, 2]}`), codes.InvalidArgument, "8 bytes of data, want 12"},
		"negative shape":        {"ModelInfer", input(`"datatype": "FP32", "shape": [-1]`), codes.InvalidArgument, "shape that cannot be"},
		"deep shape":            {"ModelInfer", input(`"datatype": "FP32", "shape": [` + repeat("1", 33) + `]`), codes.InvalidArgument, "shape that cannot be"},
		"raw and typed":         {"ModelInfer", infer(`"raw_input_contents": ["AADAPwAAAMA="], ` + floats), codes.InvalidArgument, "both raw_input_contents and contents"},
		"raw for one of two":    {"ModelInfer", infer(`"inputs": [{"name": "x", "datatype": "UINT8", "shape": [1]}, {"name": "y", "datatype": "UINT8", "shape": [1]}], "raw_input_contents": ["AA=="]`), codes.InvalidArgument, "2 inputs and 1 raw"},
		"raw of another length": {"ModelInfer", infer(`"inputs": [{"name": "x", "datatype": "UINT8", "shape": [2]}], "raw_input_contents": ["AA=="]`), codes.InvalidArgument, "1 bytes of data, want 2"},
		"raw BYTES cut short":   {"ModelInfer", infer(`"inputs": [{"name": "x", "datatype": "BYTES", "shape": [1]}], "raw_input_contents": ["BQAAAAA="]`), codes.InvalidArgument, "wants 5 bytes"},
		"NaN as a parameter":    {"ModelInfer", infer(`"parameters": {"a": {"double_param": "NaN"}}, ` + floats), codes.InvalidArgument, "finite"},
		"unknown output":        {"ModelInfer", infer(`"outputs": [{"name": "z"}], ` + floats), codes.InvalidArgument, `no output "z"`},
		"no boolean":            {"ModelInfer", infer(`"parameters": {"binary_data_output": {"string_param": "yes"}}, ` + floats), codes.InvalidArgument, "no boolean"},
		"too many inputs":       {"ModelInfer", infer(`"inputs": [` + repeat(`{"datatype": "UINT8", "shape": [0]}`, 1025) + `]`), codes.InvalidArgument, "more than 1024 inputs"},
		"too many raw contents": {"ModelInfer", infer(`"raw_input_contents": [` + repeat(`""`, 1025) + `]`), codes.InvalidArgument, "more than 1024 raw"},
		"long id":               {"ModelInfer", infer(`"id": "` + strings.Repeat("a", 1<<20+1) + `"`), codes.ResourceExhausted, "beside its tensors"},
		"large once decoded":    {"ModelInfer", input(`"datatype": "INT64", "shape": [300000], "contents": {"int64_contents": [` + repeat("1", 300000) + `]}`), codes.ResourceExhausted, "raw_input_contents"},
		"large message":         {"ModelInfer", input(`"contents": {"bytes_contents": ["` + strings.Repeat("AAAA", 1<<20) + `"]}`), codes.ResourceExhausted, "larger than 2097152 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.Call(t, t.Context(), test.method, rpctest.Message(t, test.method+"Request", test.request))
			if r.Code != test.want || !strings.Contains(r.Text, test.says) {
				t.Errorf("%s %q, want %s and %q", r.Code, r.Text, test.want, test.says)
			}
			if r.Header.Get("x-error-code") == nil {
				t.Error("the metadata have no x-error-code")
			}
		})
	}
	r := c.Call(t, t.Context(), "ModelInfer", rpctest.Message(t, "ModelInferRequest", `{"model_name": "busy", `+floats+`}`))
	if got := r.Header.Get("retry-after"); len(got) != 1 || got[0] != "2" {
		t.Errorf("retry-after is %v, want 2", got)
	}
	if got := r.Trailer.Get("grpc-retry-pushback-ms"); len(got) != 1 || got[0] != "2000" {
		t.Errorf("grpc-retry-pushback-ms is %v, want 2000", got)
	}
}

func TestNotReadyIsAnAnswer(t *testing.T) {
	c := dial(t, &rest{lies: true}, rpc.Config{})
	for method, request := range map[string]string{"ServerReady": `{}`, "ModelReady": `{"name": "echo"}`} {
		r := c.Call(t, t.Context(), method, rpctest.Message(t, method+"Request", request))
		if r.Code != codes.OK || !same(t, r.JSON(), `{}`) {
			t.Errorf("%s: %s %s, want ready false", method, r.Code, r.JSON())
		}
	}
	h, err := grpc_health_v1.NewHealthClient(c.Conn()).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || h.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("health is %v, %v, want NOT_SERVING", h, err)
	}
}

func TestHealth(t *testing.T) {
	c := grpc_health_v1.NewHealthClient(dial(t, &rest{}, rpc.Config{}).Conn())
	h, err := c.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "inference.GRPCInferenceService"})
	if err != nil || h.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v, want SERVING", h, err)
	}
	if _, err := c.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "other"}); !strings.Contains(err.Error(), "NotFound") {
		t.Errorf("health of another service: %v, want NotFound", err)
	}
}

// Metadata become headers, and the nearer of two deadlines holds.
func TestMetadata(t *testing.T) {
	s := &rest{}
	c := dial(t, s, rpc.Config{})
	request := rpctest.Message(t, "ModelInferRequest", `{"model_name": "echo", `+floats+`}`)
	for name, test := range map[string]struct {
		timeout time.Duration
		header  string
		least   int
		most    int
	}{
		"none":        {0, "", 0, 0},
		"header":      {0, "1234", 1234, 1234},
		"grpc":        {20 * time.Second, "", 10000, 20000},
		"header near": {20 * time.Second, "99", 99, 99},
		"grpc near":   {20 * time.Second, "60000", 10000, 20000},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x", "x-priority", "2", "x-deadline-ms", test.header)
			if test.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.timeout)
				defer cancel()
			}
			if r := c.Call(t, ctx, "ModelInfer", request); r.Code != codes.OK || r.Header.Get("x-prime-spark-node")[0] != "pi-1" || r.Header.Get("server-timing")[0] != "infer;dur=1" {
				t.Fatalf("%s %s, metadata %v", r.Code, r.Text, r.Header)
			}
			h := s.last.Header
			if h.Get("Authorization") != "Bearer x" || h.Get("X-Priority") != "2" || h.Get("Te") != "" || h.Get("Grpc-Timeout") != "" {
				t.Errorf("headers are %v", h)
			}
			if s.last.RequestURI != "/v2/models/echo/infer" || s.last.Host == "" || s.last.RemoteAddr == "" {
				t.Errorf("the request is to %q of %q from %q", s.last.RequestURI, s.last.Host, s.last.RemoteAddr)
			}
			ms := 0
			for _, digit := range h.Get("X-Deadline-Ms") {
				ms = 10*ms + int(digit-'0')
			}
			if ms < test.least || ms > test.most {
				t.Errorf("X-Deadline-Ms is %d, want %d to %d", ms, test.least, test.most)
			}
		})
	}
}

func TestCompressedMessages(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{MaxMessage: 1 << 20})
	request := rpctest.Message(t, "ModelInferRequest", `{"model_name": "echo", `+floats+`}`)
	if r := c.Call(t, t.Context(), "ModelInfer", request, grpc.UseCompressor("gzip")); r.Code != codes.OK {
		t.Errorf("%s %s", r.Code, r.Text)
	}
	bomb := rpctest.Message(t, "ModelInferRequest", `{"model_name": "echo", "raw_input_contents": ["`+strings.Repeat("AAAA", 1<<20)+`"]}`)
	if r := c.Call(t, t.Context(), "ModelInfer", bomb, grpc.UseCompressor("gzip")); r.Code != codes.ResourceExhausted {
		t.Errorf("a bomb: %s %s, want RESOURCE_EXHAUSTED", r.Code, r.Text)
	}
}

func TestWhoIsNotAdmittedSendsNothing(t *testing.T) {
	s := &rest{}
	address := serve(t, s, rpc.Config{}, func(r *http.Request) error {
		if r.Header.Get("Authorization") == "" {
			return problem.New(problem.Unauthorized, "Send a token.", "Who are you?")
		}
		return nil
	})
	c := rpctest.Dial(t, address, insecure.NewCredentials())
	request := rpctest.Message(t, "ModelInferRequest", `{"model_name": "echo", `+floats+`}`)
	if r := c.Call(t, t.Context(), "ModelInfer", request); r.Code != codes.Unauthenticated || s.last != nil {
		t.Errorf("%s %s, want UNAUTHENTICATED", r.Code, r.Text)
	}
	if r := c.Call(t, metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer x"), "ModelInfer", request); r.Code != codes.OK {
		t.Errorf("%s %s, want OK", r.Code, r.Text)
	}
}

func TestClientGoesAway(t *testing.T) {
	s := &rest{gone: make(chan struct{})}
	c := dial(t, s, rpc.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := c.Call(t, ctx, "ModelInfer", rpctest.Message(t, "ModelInferRequest", `{"model_name": "slow", `+floats+`}`))
	if r.Code != codes.DeadlineExceeded {
		t.Errorf("%s %s, want DEADLINE_EXCEEDED", r.Code, r.Text)
	}
	<-s.gone
}

func TestStream(t *testing.T) {
	until, end := context.WithCancel(t.Context())
	defer end()
	c := dial(t, &rest{}, rpc.Config{Until: until})
	s := c.Stream(t, t.Context())
	for _, test := range []struct{ request, want string }{
		{`{"model_name": "echo", "id": "1", ` + floats + `}`, `{"infer_response": {"model_name": "echo", "model_version": "3", "id": "1", "outputs": [{"name": "x", "datatype": "FP32", "shape": ["1", "2"], "contents": {"fp32_contents": [1.5, -2]}}]}}`},
		{`{"model_name": "busy", "id": "2", ` + floats + `}`, `{"error_message": "Full: 100 % of 7 µs. Wait.", "infer_response": {"model_name": "busy", "id": "2"}}`},
		{`{"model_name": "echo", "id": "3"}`, `{"error_message": "The request has no inputs. Send the inputs that the model's metadata names.", "infer_response": {"model_name": "echo", "id": "3"}}`},
		{`{"model_name": "echo", "id": "4", "inputs": [{"name": "x", "datatype": "UINT8", "shape": [1]}], "raw_input_contents": ["AQ=="]}`, `{"infer_response": {"model_name": "echo", "model_version": "3", "id": "4", "outputs": [{"name": "x", "datatype": "UINT8", "shape": ["1"]}], "raw_output_contents": ["AQ=="]}}`},
	} {
		if err := s.SendMsg(rpctest.Message(t, "ModelInferRequest", test.request)); err != nil {
			t.Fatal(err)
		}
		got := rpctest.Reply{Message: rpctest.New(t, "ModelStreamInferResponse")}
		if err := s.RecvMsg(got.Message); err != nil {
			t.Fatal(err)
		}
		if !same(t, got.JSON(), test.want) {
			t.Errorf("got %s\nwant %s", got.JSON(), test.want)
		}
	}
	if h, err := s.Header(); err != nil || h.Get("x-prime-spark-node")[0] != "pi-1" {
		t.Errorf("metadata %v, %v", h, err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ends with %v, want EOF", err)
	}

	idle := c.Stream(t, t.Context())
	if err := idle.SendMsg(rpctest.Message(t, "ModelInferRequest", `{"model_name": "echo", `+floats+`}`)); err != nil {
		t.Fatal(err)
	}
	if err := idle.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err != nil {
		t.Fatal(err)
	}
	end()
	if err := idle.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Errorf("an idle stream ends with %v, want UNAVAILABLE", err)
	}
}

func TestNoMethod(t *testing.T) {
	c := dial(t, &rest{}, rpc.Config{})
	for _, path := range []string{rpctest.Service + "ModelConfig", "/other.Service/ModelInfer", "/x"} {
		err := c.Conn().Invoke(t.Context(), path, rpctest.New(t, "ServerLiveRequest"), rpctest.New(t, "ServerLiveResponse"))
		if err == nil || !strings.Contains(err.Error(), "Unimplemented") {
			t.Errorf("%s: %v, want UNIMPLEMENTED", path, err)
		}
	}
}
