package api

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"primespark/shared/oip"
	"primespark/shared/oip/rpc/rpctest"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// dial serves the lab by its own kind of server, on a plain listener, and returns a client.
func (l *lab) dial() *rpctest.Client {
	l.t.Helper()
	at, err := new(net.ListenConfig).Listen(l.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(l.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Server{Name: "api", Listener: at, Handler: l.api.Handler(), Stop: l.api.Stop, Log: slog.New(slog.DiscardHandler)}.Run(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			l.t.Error(err)
		}
	})
	return rpctest.Dial(l.t, at.Addr().String(), insecure.NewCredentials())
}

// rpcAs adds the token of a role to the metadata of a call.
func (l *lab) rpcAs(who string) context.Context {
	if token, ok := l.token[Role(who)]; ok {
		return metadata.AppendToOutgoingContext(l.t.Context(), "authorization", "Bearer "+token)
	}
	return l.t.Context()
}

const two = `{"model_name": "m", "id": "7", "inputs": [{"name": "x", "datatype": "UINT8", "shape": [2]}], "raw_input_contents": ["AQI="]}`

// echo answers as an agent that gives inputs back.
func echo(t *testing.T) func(*http.Request, string, []byte) (*http.Response, error) {
	return func(in *http.Request, model string, body []byte) (*http.Response, error) {
		req, err := oip.DecodeRequest(in.Header, body, oip.Limits{})
		if err != nil {
			t.Error(err)
			return nil, err
		}
		b, err := (&oip.Response{Model: model, Version: "1", ID: req.ID, Outputs: req.Tensors()}).Encode(nil, req.Binary)
		if err != nil {
			return nil, err
		}
		res := reply(200, string(b.Bytes), wire.HeaderNode, "pi-1", wire.HeaderGateway, "c1")
		b.SetHeaders(res.Header)
		return res, nil
	}
}

func TestGRPCGoesThroughTheGateway(t *testing.T) {
	l := newLab(t)
	c := l.dial()
	l.gate.answer = echo(t)
	request := rpctest.Message(t, "ModelInferRequest", two)
	for who, want := range map[string]codes.Code{"operator": codes.OK, "viewer": codes.PermissionDenied, "": codes.Unauthenticated} {
		r := c.Call(t, l.rpcAs(who), "ModelInfer", request)
		if r.Code != want {
			t.Fatalf("%q: %s %s, want %s", who, r.Code, r.Text, want)
		}
		if want == codes.OK && (!strings.Contains(r.JSON(), "AQI=") || r.Header.Get("x-prime-spark-node")[0] != "pi-1" || r.Header.Get("x-prime-spark-gateway")[0] != "c1") {
			t.Errorf("%s, metadata %v", r.JSON(), r.Header)
		}
	}
	for name, test := range map[string]struct {
		err  *problem.Error
		want codes.Code
	}{
		"nobody has it": {problem.New(problem.NotFound, "Look.", "No agent has it."), codes.NotFound},
		"all are busy":  {&problem.Error{Code: problem.Busy, Detail: "Full.", RetryAfter: 3 * time.Second}, codes.Unavailable},
		"too late":      {problem.New(problem.Deadline, "Wait.", "Late."), codes.DeadlineExceeded},
	} {
		l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) { return nil, test.err }
		if r := c.Call(t, l.rpcAs("operator"), "ModelInfer", request); r.Code != test.want || !strings.Contains(r.Text, test.err.Detail) {
			t.Errorf("%s: %s %s, want %s", name, r.Code, r.Text, test.want)
		}
	}
	l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) {
		res := reply(200, "")
		res.Body = io.NopCloser(brokenBody{strings.NewReader("half")})
		return res, nil
	}
	if r := c.Call(t, l.rpcAs("operator"), "ModelInfer", request); r.Code != codes.Unavailable {
		t.Errorf("half an answer: %s %s, want UNAVAILABLE", r.Code, r.Text)
	}
}

// A stream does not hold up the end of the coordinator.
func TestGRPCStreamAtTheGateway(t *testing.T) {
	l := newLab(t)
	l.gate.answer = echo(t)
	s := l.dial().Stream(t, l.rpcAs("operator"))
	if err := s.SendMsg(rpctest.Message(t, "ModelInferRequest", two)); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err != nil {
		t.Fatal(err)
	}
	l.api.Stop()
	if err := s.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err == nil || !strings.Contains(err.Error(), "Unavailable") {
		t.Errorf("the stream ends with %v, want UNAVAILABLE", err)
	}
}

// A node's certificate opens gRPC as it opens REST, for as long as the node is a member.
func TestGRPCByCertificate(t *testing.T) {
	for name, test := range map[string]struct {
		who   string
		major int
		http  int
		rpc   string
	}{
		"a member":             {"agent/pi-1", 2, 200, "0"},
		"one not yet approved": {"agent/pi-2", 2, 200, "7"},
		"a stranger":           {"agent/pi-9", 2, 200, "7"},
		"nobody":               {"", 2, 200, "16"},
		"over HTTP/1.1":        {"agent/pi-1", 1, 505, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			r := l.as(test.who, "POST", rpctest.Service+"ServerLive", "\x00\x00\x00\x00\x00")
			r.Header.Set("Content-Type", "application/grpc")
			r.ProtoMajor = test.major
			res := l.do(r).Result()
			defer res.Body.Close()
			if got := res.Trailer.Get("Grpc-Status"); res.StatusCode != test.http || got != test.rpc {
				t.Errorf("%d, status %q %s, want %d, %q", res.StatusCode, got, res.Trailer.Get("Grpc-Message"), test.http, test.rpc)
			}
		})
	}
}
