package api_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	grpcmeta "google.golang.org/grpc/metadata"

	"primespark/agent/api"
	"primespark/shared/oip/rpc/rpctest"
	"primespark/shared/problem"
)

const doubled = `{"model_name": "double", "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1.5, -2]}}]}`

// gRPC is there at every door, beside REST, and under the door's own rules.
func TestGRPCAtEveryDoor(t *testing.T) {
	secure, _ := serverTLS(t)
	https, loopback := listen(t, "tcp", "127.0.0.1:0"), listen(t, "tcp", "127.0.0.1:0")
	path := filepath.Join(t.TempDir(), "agent.sock")
	start(t, newRig(t, api.Config{}, api.Listener{Listener: https, TLS: secure, Authorize: func(r *http.Request) error {
		if r.Header.Get("Authorization") != "Bearer yes" {
			return problem.New(problem.Unauthorized, "Join the cluster.", "No certificate was shown.")
		}
		return nil
	}}, api.Listener{Listener: loopback}, api.Listener{Listener: listen(t, "unix", path)}))
	trusted := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(secure.Certificates[0].Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	trusted.AddCert(leaf)
	tlsOf := credentials.NewTLS(&tls.Config{RootCAs: trusted, ServerName: "example.com"})
	for name, test := range map[string]struct {
		address, token string
		secure         credentials.TransportCredentials
		want           codes.Code
	}{
		"TLS":               {https.Addr().String(), "yes", tlsOf, codes.OK},
		"TLS, not admitted": {https.Addr().String(), "no", tlsOf, codes.Unauthenticated},
		"loopback":          {loopback.Addr().String(), "", insecure.NewCredentials(), codes.OK},
		"socket":            {"unix:" + path, "", insecure.NewCredentials(), codes.OK},
	} {
		t.Run(name, func(t *testing.T) {
			c := rpctest.Dial(t, test.address, test.secure)
			ctx := grpcmeta.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+test.token)
			r := c.Call(t, ctx, "ModelInfer", rpctest.Message(t, "ModelInferRequest", doubled))
			if r.Code != test.want {
				t.Fatalf("%s %s, want %s", r.Code, r.Text, test.want)
			}
			if r.Code != codes.OK {
				return
			}
			if got := r.JSON(); !strings.Contains(strings.ReplaceAll(got, " ", ""), `"fp32_contents":[3,-4]`) {
				t.Errorf("got %s, want 3 and -4", got)
			}
			if r.Header.Get("x-prime-spark-node")[0] != "pi-1" || r.Header.Get("x-prime-spark-backend")[0] != "builtin" || len(r.Header.Get("server-timing")) != 1 {
				t.Errorf("metadata %v", r.Header)
			}
		})
	}
}

// A page of another site cannot reach loopback by a name that it points there.
func TestGRPCOnLoopbackChecksTheHost(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	start(t, newRig(t, api.Config{}, api.Listener{Listener: l}))
	r := rpctest.Dial(t, l.Addr().String(), insecure.NewCredentials())
	if got := r.Call(t, t.Context(), "ServerLive", rpctest.New(t, "ServerLiveRequest")); got.Code != codes.OK {
		t.Errorf("%s %s, want OK", got.Code, got.Text)
	}
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	evil := rpctest.Dial(t, "passthrough:///127.0.0.1:"+port, insecure.NewCredentials(), rpctest.Authority("evil.example"))
	if got := evil.Call(t, t.Context(), "ServerLive", rpctest.New(t, "ServerLiveRequest")); got.Code != codes.PermissionDenied {
		t.Errorf("%s %s, want PERMISSION_DENIED", got.Code, got.Text)
	}
}

// The same requests count, whichever way they come, and errors are the same.
func TestGRPCCountsLikeREST(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	r := newRig(t, api.Config{}, api.Listener{Listener: l})
	start(t, r)
	c := rpctest.Dial(t, l.Addr().String(), insecure.NewCredentials())
	request := rpctest.Message(t, "ModelInferRequest", doubled)
	if got := c.Call(t, t.Context(), "ModelInfer", request); got.Code != codes.OK {
		t.Fatalf("%s %s", got.Code, got.Text)
	}
	r.models.wait = func(context.Context) error { return errors.New("disk on fire at /secret/path") }
	if got := c.Call(t, t.Context(), "ModelInfer", request); got.Code != codes.Internal || strings.Contains(got.Text, "secret") {
		t.Errorf("%s %s, want INTERNAL without the reason", got.Code, got.Text)
	}
	r.models.wait = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	late := grpcmeta.AppendToOutgoingContext(t.Context(), "x-deadline-ms", "20")
	if got := c.Call(t, late, "ModelInfer", request); got.Code != codes.DeadlineExceeded {
		t.Errorf("%s %s, want DEADLINE_EXCEEDED", got.Code, got.Text)
	}
	got := c.Call(t, t.Context(), "ModelStatistics", rpctest.Message(t, "ModelStatisticsRequest", `{"name": "double"}`)).JSON()
	for _, want := range []string{`"inference_count":"1"`, `"fail":{"count":"2"`} {
		if !strings.Contains(strings.ReplaceAll(got, " ", ""), want) {
			t.Errorf("statistics are %s, want %s", got, want)
		}
	}
}

// An idle stream does not hold up the end of the agent.
func TestGRPCStreamEndsWithTheAgent(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	stop := start(t, newRig(t, api.Config{Drain: time.Minute}, api.Listener{Listener: l}))
	s := rpctest.Dial(t, l.Addr().String(), insecure.NewCredentials()).Stream(t, t.Context())
	if err := s.SendMsg(rpctest.Message(t, "ModelInferRequest", doubled)); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("the end took %v with an idle stream", took)
	}
	if err := s.RecvMsg(rpctest.New(t, "ModelStreamInferResponse")); err == nil || !strings.Contains(err.Error(), "Unavailable") {
		t.Errorf("the stream ends with %v, want UNAVAILABLE", err)
	}
}

// What messages take together is bounded, whoever sends them.
func TestGRPCMemoryIsBounded(t *testing.T) {
	l := listen(t, "tcp", "127.0.0.1:0")
	start(t, newRig(t, api.Config{MaxBody: 1 << 20, BodyMemory: 100 << 10}, api.Listener{Listener: l}))
	c := rpctest.Dial(t, l.Addr().String(), insecure.NewCredentials())
	large := strings.Repeat("AAAA", 60<<10)
	got := c.Call(t, t.Context(), "ModelInfer", rpctest.Message(t, "ModelInferRequest", `{"model_name": "double", "raw_input_contents": ["`+large+`"]}`))
	if got.Code != codes.Unavailable || !strings.Contains(got.Text, "memory") {
		t.Errorf("%s %s, want UNAVAILABLE for want of memory", got.Code, got.Text)
	}
}
