package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/version"
)

// An action answers a request, or returns why it cannot.
type action func(w http.ResponseWriter, r *http.Request) error

func (a *API) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, do := range map[string]action{
		"GET /livez":      a.livez,
		"GET /readyz":     a.readyz,
		"GET /v1/version": func(w http.ResponseWriter, _ *http.Request) error { return reply(w, http.StatusOK, version.Get()) },
		"GET /v1/node":    a.node,

		"GET /v2":              a.server2,
		"GET /v2/{$}":          a.server2,
		"GET /v2/health/live":  a.live2,
		"GET /v2/health/ready": a.ready2,

		// A model named "stats" hides behind this one; its versions do not.
		"GET /v2/models/stats":                   a.allStats,
		"GET /v2/models/{m}":                     a.metadata,
		"GET /v2/models/{m}/versions/{v}":        a.metadata,
		"GET /v2/models/{m}/ready":               a.modelReady,
		"GET /v2/models/{m}/versions/{v}/ready":  a.modelReady,
		"GET /v2/models/{m}/stats":               a.modelStats,
		"GET /v2/models/{m}/versions/{v}/stats":  a.modelStats,
		"POST /v2/models/{m}/infer":              a.infer,
		"POST /v2/models/{m}/versions/{v}/infer": a.infer,
		"POST /v2/repository/index":              a.index,
		"POST /v2/repository/models/{m}/load":    a.load,
		"POST /v2/repository/models/{m}/unload":  a.unload,
	} {
		mux.Handle(pattern, a.handle(do))
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.out.Metrics, promhttp.HandlerOpts{}))
	return a.safe(unmatched(mux))
}

// handle turns the error of an action into the answer, and logs what is ours.
func (a *API) handle(do action) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := do(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	if e := problem.Of(err); e.Code == problem.Unexpected {
		a.out.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	}
	refuse(w, r, err)
}

// refuse answers with an error in the form that the path is in.
func refuse(w http.ResponseWriter, r *http.Request, err error) {
	if problem.Of(err).Code == problem.TooLarge && r.ProtoMajor < 2 {
		w.Header().Set("Connection", "close") // what is left of the body is not read
	}
	if r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/") {
		oip.WriteError(w, err)
		return
	}
	problem.Write(w, err)
}

// safe names the node in every answer and keeps a fault in a handler from
// ending more than its own request.
func (a *API) safe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Prime-Spark-Node", a.cfg.Node)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		t := &tracked{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // the way to end a connection
			}
			a.out.Log.Error("a handler panicked", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if t.begun {
				panic(http.ErrAbortHandler) // so that half an answer does not pass for a whole one
			}
			refuse(w, r, problem.Of(fmt.Errorf("panic: %v", p)))
		}()
		next.ServeHTTP(t, r)
	})
}

// tracked knows whether an answer has begun.
type tracked struct {
	http.ResponseWriter
	begun bool
}

func (t *tracked) WriteHeader(status int) {
	t.begun = true
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracked) Write(b []byte) (int, error) {
	t.begun = true
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// unmatched answers for the mux where it knows no route or no such method, in
// our words.
func unmatched(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		probe := &verdict{header: http.Header{}}
		h.ServeHTTP(probe, r)
		if probe.status == http.StatusMethodNotAllowed {
			allow := probe.header.Get("Allow")
			w.Header().Set("Allow", allow)
			refuse(w, r, problem.New(problem.BadMethod, "Use "+allow+".", "This path does not take %s.", clip(r.Method)))
			return
		}
		refuse(w, r, problem.New(problem.NotFound, "GET /v2 and GET /v1/node say what is here.", "There is nothing at %s.", clip(r.URL.Path)))
	})
}

// A verdict takes what the mux would answer and keeps the status.
type verdict struct {
	header http.Header
	status int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(status int)      { v.status = status }
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

// reply answers with v in JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", oip.TypeJSON)
	w.WriteHeader(status)
	// A client that went away is no fault of ours.
	_, _ = w.Write(append(b, '\n'))
	return nil
}

// clip shortens what a client sent to a length that fits an error text.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		s = s[:most] + "..."
	}
	return fmt.Sprintf("%q", s)
}
