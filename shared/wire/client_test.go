package wire

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/identity"
	"primespark/shared/problem"
)

// serve starts a server that ends with the test and counts its requests.
func serve(t *testing.T, h http.HandlerFunc) (url string, asked *atomic.Int32) {
	t.Helper()
	asked = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// dead returns a URL where nobody listens.
func dead(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func leader(w http.ResponseWriter, _ *http.Request) {
	json.NewEncoder(w).Encode(StatusBody{Cluster: "home", Leader: "c1"})
}

func refuse(code problem.Code) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.New(code, "Do this.", "It is %s.", code))
	}
}

func TestClientGoesOnToTheNextServer(t *testing.T) {
	for name, first := range map[string]http.HandlerFunc{
		"no leader": refuse(problem.NoLeader),
		"no quorum": refuse(problem.NoQuorum),
		"breaks off": func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, asked := serve(t, first)
			b, _ := serve(t, leader)
			c := &Client{BaseURLs: []string{dead(t), a, b}, Token: "t"}
			for range 2 {
				s, err := c.Status(t.Context())
				if err != nil || s.Leader != "c1" {
					t.Fatalf("got %+v, %v", s, err)
				}
			}
			if asked.Load() != 1 {
				t.Errorf("the failing server was asked %d times, want once: the client should stay with the one that answered", asked.Load())
			}
		})
	}
}

func TestClientTakesANoForANo(t *testing.T) {
	for _, code := range []problem.Code{problem.NotFound, problem.Forbidden, problem.Unauthorized, problem.Invalid, problem.Conflict, problem.Unexpected} {
		a, _ := serve(t, refuse(code))
		b, asked := serve(t, leader)
		_, err := (&Client{BaseURLs: []string{a, b}}).Status(t.Context())
		if !problem.Is(err, code) || asked.Load() != 0 {
			t.Errorf("%s: got %v after %d more requests", code, err, asked.Load())
		}
		if e := problem.Of(err); e.Remedy != "Do this." {
			t.Errorf("%s: remedy %q was lost", code, e.Remedy)
		}
	}
}

func TestClientNeverSendsAWriteTwice(t *testing.T) {
	broken, asked := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	good, others := serve(t, func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(NodeBody{Name: "pi-1"}) })

	// What has an Idempotency-Key may be sent again; a renewal has none.
	_, err := (&Client{BaseURLs: []string{broken, good}}).Renew(t.Context(), identity.RenewRequest{})
	if !problem.Is(err, problem.Unreachable) || asked.Load() != 1 || others.Load() != 0 {
		t.Errorf("after a broken write: %v, %d and %d requests, want 1 and 0", err, asked.Load(), others.Load())
	}
	n, err := (&Client{BaseURLs: []string{dead(t), good}}).NodeAction(t.Context(), "pi-1", Drain)
	if err != nil || n.Name != "pi-1" {
		t.Errorf("after a refused connection: %v, %v; nothing was sent, so the next should be asked", n, err)
	}
}

func TestClientWaitsAsAsked(t *testing.T) {
	answers := []http.HandlerFunc{refuse(problem.NoLeader), leader}
	url, asked := serve(t, func(w http.ResponseWriter, r *http.Request) { answers[0](w, r); answers = answers[1:] })
	start := time.Now()
	s, err := (&Client{BaseURLs: []string{url}}).Status(t.Context())
	if err != nil || s.Leader != "c1" || asked.Load() != 2 || time.Since(start) < time.Second {
		t.Errorf("got %+v, %v after %v and %d requests", s, err, time.Since(start), asked.Load())
	}
}

func TestClientDoesNotWaitPastItsContext(t *testing.T) {
	url, asked := serve(t, refuse(problem.NoLeader))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err := (&Client{BaseURLs: []string{url}}).Status(ctx)
	if !problem.Is(err, problem.NoLeader) || asked.Load() != 1 {
		t.Errorf("got %v after %d requests", err, asked.Load())
	}
}

func TestClientUnreachable(t *testing.T) {
	a, b := dead(t), dead(t)
	_, err := (&Client{BaseURLs: []string{a, b}}).Nodes(t.Context())
	e, ok := errors.AsType[*problem.Error](err)
	if !ok || e.Code != problem.Unreachable || !strings.Contains(e.Detail, a) || !strings.Contains(e.Detail, b) || e.Remedy == "" {
		t.Errorf("got %v", err)
	}

	s := httptest.NewUnstartedServer(http.HandlerFunc(leader))
	s.Config.ErrorLog = quiet
	s.StartTLS()
	defer s.Close()
	_, err = (&Client{BaseURLs: []string{s.URL}}).Nodes(t.Context())
	if e := problem.Of(err); e.Code != problem.Unreachable || !strings.Contains(e.Remedy, "certificate") {
		t.Errorf("a stranger's certificate: %v, remedy %q", err, e.Remedy)
	}

	for _, bad := range []string{"", "10.0.0.1:7480", "ftp://x", "http://"} {
		if _, err := (&Client{BaseURLs: []string{bad}}).Nodes(t.Context()); !problem.Is(err, problem.Unreachable) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := (&Client{}).Ready(t.Context()); !problem.Is(err, problem.Invalid) {
		t.Errorf("no server: %v", err)
	}
	if _, err := (&Client{}).Nodes(t.Context()); !problem.Is(err, problem.Invalid) {
		t.Errorf("no server: %v", err)
	}
}

func TestClientBoundsWhatItReads(t *testing.T) {
	url, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range MaxBody>>20 + 1 {
			w.Write(make([]byte, 1<<20))
		}
	})
	if _, err := (&Client{BaseURLs: []string{url}}).Status(t.Context()); !problem.Is(err, problem.TooLarge) {
		t.Errorf("got %v", err)
	}
	url, _ = serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) })
	if _, err := (&Client{BaseURLs: []string{url}}).Status(t.Context()); !problem.Is(err, problem.Unexpected) {
		t.Errorf("got %v", err)
	}
}

func TestRequests(t *testing.T) {
	var got *http.Request
	url, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		if r.URL.Path == PathReady {
			w.WriteHeader(http.StatusServiceUnavailable)
			json.NewEncoder(w).Encode(ReadyBody{Reasons: []Reason{{Code: "no_quorum"}}})
			return
		}
		w.Header().Set(HeaderNode, "pi-1")
		w.Header().Set(HeaderAttempts, "2")
		w.Write([]byte("null"))
	})
	c := &Client{BaseURLs: []string{url + "/"}, Token: "secret", Stale: true}
	ctx := t.Context()
	for want, do := range map[string]func() error{
		"GET /v1/status?stale=1":         func() error { _, err := c.Status(ctx); return err },
		"GET /v1/nodes?stale=1":          func() error { _, err := c.Nodes(ctx); return err },
		"GET /v1/nodes/pi-1?stale=1":     func() error { _, err := c.Node(ctx, "pi-1"); return err },
		"POST /v1/nodes/pi-1:drain":      func() error { _, err := c.NodeAction(ctx, "pi-1", Drain); return err },
		"POST /v1/join-codes":            func() error { _, err := c.CreateJoinCode(ctx, JoinCodeRequest{Role: "agent"}); return err },
		"POST /v1/tokens":                func() error { _, err := c.CreateToken(ctx, TokenRequest{}); return err },
		"GET /v1/route?model=m":          func() error { _, err := c.Route(ctx, "m"); return err },
		"GET /v1/events?after=x&limit=3": func() error { _, err := c.Events(ctx, "x", 3); return err },
		"GET /v1/version":                func() error { _, err := c.Version(ctx); return err },
		"POST /v2/repository/index":      func() error { _, err := c.Models(ctx); return err },
		"POST /v2/models/m/infer": func() error {
			_, err := c.InferImage(ctx, "m", []byte("jpg"), http.Header{HeaderDeadline: {"5"}})
			return err
		},
		"GET /readyz": func() error {
			r, err := c.Ready(ctx)
			if r.Ready || len(r.Reasons) != 1 {
				t.Errorf("readyz gave %+v", r)
			}
			return err
		},
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", want, err)
			continue
		}
		line := got.Method + " " + got.URL.RequestURI()
		if line != want {
			t.Errorf("sent %q, want %q", line, want)
		}
		if got.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s: no token was sent", want)
		}
	}
	a, err := c.InferJSON(ctx, "m", []byte("{}"), nil)
	if err != nil || a.Node != "pi-1" || a.Attempts != 2 || got.Header.Get(HeaderLength) != "" {
		t.Errorf("infer gave %+v, %v", a, err)
	}
}

func TestEventIDsSort(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	ids := []string{
		EventID(at, 'a', 9), EventID(at, 'a', 10), EventID(at, 'l', 1),
		EventID(at.Add(time.Microsecond), 'a', 1), EventID(at.Add(time.Hour), 'a', 1<<40), EventID(at.AddDate(200, 0, 0), 'a', 1),
	}
	if !slices.IsSorted(ids) {
		t.Errorf("ids do not sort by time and number: %q", ids)
	}
	for _, id := range ids {
		if !ValidEventID(id) {
			t.Errorf("%q is refused", id)
		}
	}
	for _, bad := range []string{"", "1", "zz06478b0a5c3a46-a0000000001", "0006478b0a5c3a46-A0000000001", "0006478b0a5c3a46-a00000000zz", ids[0] + ids[1]} {
		if ValidEventID(bad) {
			t.Errorf("%q is accepted", bad)
		}
	}
}
