package api

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

func TestInferPassesOn(t *testing.T) {
	l := newLab(t)
	var model, got string
	l.gate.answer = func(_ *http.Request, m string, body []byte) (*http.Response, error) {
		model, got = m, string(body)
		return reply(200, "answer", "Content-Type", "application/octet-stream", wire.HeaderLength, "3", wire.HeaderNode, "pi-1", wire.HeaderBackend, "builtin",
			wire.HeaderGateway, "c1", wire.HeaderAttempts, "2", wire.HeaderTiming, "infer;dur=3", "Set-Cookie", "x=y", "X-Internal", "secret"), nil
	}
	for _, path := range []string{"/v2/models/blazeface/infer", "/v2/models/blazeface/versions/1/infer"} {
		w := l.do(l.as("operator", "POST", path, "jpeg"))
		if w.Code != 200 || w.Body.String() != "answer" || got != "jpeg" || model != "blazeface" {
			t.Errorf("%s: %d %q, the agent got %q for %q", path, w.Code, w.Body, got, model)
		}
		for name, want := range map[string]string{
			"Content-Type": "application/octet-stream", wire.HeaderLength: "3", wire.HeaderNode: "pi-1", wire.HeaderBackend: "builtin",
			wire.HeaderGateway: "c1", wire.HeaderAttempts: "2", wire.HeaderTiming: "infer;dur=3", "Set-Cookie": "", "X-Internal": "",
		} {
			if v := w.Header().Get(name); v != want {
				t.Errorf("%s: %s is %q, want %q", path, name, v, want)
			}
		}
		if all := w.Header().Values(wire.HeaderTiming); len(all) != 2 || !strings.HasPrefix(all[1], "gateway;dur=") {
			t.Errorf("%s: timing %q", path, all)
		}
	}
}

func TestInferErrors(t *testing.T) {
	l := newLab(t)
	for name, test := range map[string]struct {
		answer func(*http.Request, string, []byte) (*http.Response, error)
		want   int
		says   string
	}{
		"no capacity": {nil, 503, `{"error":"Nobody. Wait."}`},
		"the client's fault": {func(*http.Request, string, []byte) (*http.Response, error) {
			return reply(400, `{"error":"bad shape"}`, "Content-Type", "application/json", "X-Error-Code", "invalid"), nil
		}, 400, `{"error":"bad shape"}`},
		"ours": {func(*http.Request, string, []byte) (*http.Response, error) { return nil, errBroken }, 500, `log says why`},
	} {
		l.gate.answer = test.answer
		w := l.do(l.as("operator", "POST", "/v2/models/m/infer", "{}"))
		if w.Code != test.want || !strings.Contains(w.Body.String(), test.says) || w.Header().Get("X-Error-Code") == "" {
			t.Errorf("%s: %d %s %v", name, w.Code, w.Body, w.Header())
		}
	}
}

// brokenBody fails after its text.
type brokenBody struct{ io.Reader }

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func TestBrokenBodiesAndAnswers(t *testing.T) {
	l := newLab(t)
	r := l.as("operator", "POST", "/v2/models/m/infer", "")
	r.Body, r.ContentLength = io.NopCloser(brokenBody{strings.NewReader("half")}), 10
	if w := l.do(r); w.Code != 400 {
		t.Errorf("a body that breaks off: %d %s", w.Code, w.Body)
	}
	l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) {
		res := reply(200, "")
		res.Body = io.NopCloser(brokenBody{strings.NewReader("half")})
		return res, nil
	}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("an answer that breaks off must not look whole; recovered %v", v)
		}
	}()
	l.do(l.as("operator", "POST", "/v2/models/m/infer", "{}"))
}

// endless gives n bytes and counts those taken.
type endless struct{ left, taken int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	e.left -= n
	e.taken += n
	return int(n), nil
}

func TestAGigabyteCostsLittle(t *testing.T) {
	l := newLab(t)
	for name, known := range map[string]bool{"with its length told": true, "in chunks": false} {
		body := &endless{left: 1 << 30}
		r := l.as("operator", "POST", "/v2/models/m/infer", "")
		r.Body, r.ContentLength = io.NopCloser(body), -1
		if known {
			r.ContentLength = 1 << 30
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := l.do(r)
		runtime.ReadMemStats(&after)
		if w.Code != 413 || body.taken > 2<<20 || after.TotalAlloc-before.TotalAlloc > 16<<20 {
			t.Errorf("%s: %d after %d bytes and %d allocated", name, w.Code, body.taken, after.TotalAlloc-before.TotalAlloc)
		}
	}
}

func TestBodiesInMemoryAreBounded(t *testing.T) {
	l := newLab(t)
	if !l.api.bodies.TryAcquire(maxBodies) {
		t.Fatal("the room for bodies is not what it should be")
	}
	w := l.do(l.as("operator", "POST", "/v2/models/m/infer", "{}"))
	if code(w) != problem.Busy || w.Header().Get("Retry-After") == "" {
		t.Errorf("without room: %d %s", w.Code, w.Body)
	}
	l.api.bodies.Release(maxBodies)
	l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) { return reply(200, ""), nil }
	for range 200 {
		if w := l.do(l.as("operator", "POST", "/v2/models/m/infer", strings.Repeat("x", 1<<20))); w.Code != 200 {
			t.Fatalf("the room is not given back: %d %s", w.Code, w.Body)
		}
	}
}

func TestGatewayReadiness(t *testing.T) {
	l := newLab(t)
	l.change("pi-1", func(n *fleet.Node) { n.Vital.Ready = false })
	if w := l.do(l.as("viewer", "GET", "/v2/health/ready", "")); w.Code != 503 {
		t.Errorf("with no agent ready (pi-2 is pending): %d %s", w.Code, w.Body)
	}
	if w := l.do(l.as("viewer", "GET", "/v2/health/live", "")); w.Code != 200 {
		t.Errorf("live: %d", w.Code)
	}
	if w := l.do(l.as("viewer", "POST", "/v2/repository/index", `{"ready":true}`)); strings.TrimSpace(w.Body.String()) != "[]" {
		t.Errorf("index: %s", w.Body)
	}
}

func BenchmarkInfer(b *testing.B) {
	t := &testing.T{}
	l := newLab(t)
	l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) { return reply(200, "answer"), nil }
	h, photo := l.api.Handler(), bytes.Repeat([]byte("x"), 100<<10)
	for b.Loop() {
		r := httptest.NewRequest("POST", "/v2/models/m/infer", bytes.NewReader(photo))
		r.Header.Set("Authorization", "Bearer "+l.token[Operator])
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}
