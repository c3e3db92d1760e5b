package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/credentials/insecure"

	"primespark/shared/oip"
	"primespark/shared/oip/rpc"
	"primespark/shared/oip/rpc/rpctest"
	"primespark/shared/problem"
)

// A rest is a server of the protocol over REST whose one model, "echo", gives
// its inputs back. "busy", "late" and "ill" fail, each in its way, "half" breaks
// off, and "slow" waits until its caller goes away.
type rest struct {
	mu   sync.Mutex
	last *http.Request // of an inference
	gone chan struct{} // closed when a caller of "slow" has gone
	lies bool          // readiness
}

func (s *rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Prime-Spark-Node", "pi-1")
	say := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	body, err := io.ReadAll(r.Body)
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	switch path := r.Method + " " + r.URL.Path; path {
	case "GET /v2":
		say(oip.Server{Name: "test", Version: "7", Extensions: []string{"a", "b"}})
	case "GET /v2/health/live":
		say(oip.Health{Live: true})
	case "GET /v2/health/ready", "GET /v2/models/echo/ready":
		if s.lies {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		say(oip.Health{})
	case "GET /v2/models/echo", "GET /v2/models/echo/versions/3":
		say(map[string]any{"name": "echo", "versions": []string{"3"}, "platform": "p", "inputs": []any{map[string]any{"name": "x", "datatype": "FP32", "shape": []int{-1, 2}}}})
	case "GET /v2/models/stats", "GET /v2/models/echo/stats":
		d := oip.Duration{Count: 1, Nanos: 2}
		say(oip.Stats{Models: []oip.ModelStats{{
			Name: "echo", Version: "3", LastInference: 4, InferenceCount: 5, ExecutionCount: 6,
			Inference: oip.InferenceStats{Success: d, CacheMiss: d}, Batches: []oip.BatchStats{{Size: 8, ComputeOutput: d}},
		}}})
	case "POST /v2/repository/index":
		say([]map[string]string{{"name": "echo", "version": "3", "state": "READY", "reason": string(body)}})
	case "POST /v2/repository/models/echo/load", "POST /v2/repository/models/echo/unload":
		var ask oip.LoadRequest
		if err := errors.Join(json.Unmarshal(body, &ask), ask.Refuse()); err != nil {
			oip.WriteError(w, err)
		}
	case "POST /v2/models/echo/infer", "POST /v2/models/echo/versions/3/infer":
		s.mu.Lock()
		s.last = r
		s.mu.Unlock()
		s.echo(w, r, body)
	case "POST /v2/models/slow/infer":
		<-r.Context().Done()
		close(s.gone)
	case "POST /v2/models/half/infer":
		w.Header().Set("Content-Length", "99")
		_, _ = w.Write([]byte("{"))
		panic(http.ErrAbortHandler)
	case "POST /v2/models/busy/infer":
		oip.WriteError(w, &problem.Error{Code: problem.Busy, Detail: "Full: 100 % of 7 µs.", Remedy: "Wait.", RetryAfter: 2e9})
	case "POST /v2/models/late/infer":
		oip.WriteError(w, problem.New(problem.Deadline, "", "Late."))
	case "POST /v2/models/ill/infer":
		oip.WriteError(w, io.ErrShortBuffer)
	default:
		oip.WriteError(w, problem.New(problem.NotFound, "Look.", "There is nothing at %s.", path))
	}
}

func (s *rest) echo(w http.ResponseWriter, r *http.Request, body []byte) {
	req, err := oip.DecodeRequest(r.Header, body, oip.Limits{})
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	outputs, err := req.Pick(req.Tensors())
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	answer := oip.Response{Model: "echo", Version: "3", ID: req.ID, Outputs: outputs}
	if n, ok := req.Params["n"]; ok {
		answer.Params = oip.Params{"n": n, "b": false, "s": "", "f": 0.5}
	}
	b, err := answer.Encode(nil, req.Binary)
	if err != nil {
		oip.WriteError(w, err)
		return
	}
	b.SetHeaders(w.Header())
	w.Header().Set("Server-Timing", "infer;dur=1")
	_, _ = w.Write(b.Bytes)
}

// serve serves s over REST and gRPC, unencrypted, and returns the address.
func serve(t *testing.T, s http.Handler, cfg rpc.Config, admit func(*http.Request) error) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: rpc.New(cfg).Beside(s, admit), Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }() // ends with the server, below
	t.Cleanup(func() {
		if err := server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

func dial(t *testing.T, s http.Handler, cfg rpc.Config) *rpctest.Client {
	t.Helper()
	return rpctest.Dial(t, serve(t, s, cfg, nil), insecure.NewCredentials())
}

// same reports whether two texts are the same JSON.
func same(t *testing.T, got, want string) bool {
	t.Helper()
	norm := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatalf("%v: %s", err, s)
		}
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	return norm(got) == norm(want)
}

// repeat is a list of JSON values for a message.
func repeat(s string, n int) string { return strings.TrimSuffix(strings.Repeat(s+",", n), ",") }
