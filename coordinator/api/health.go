package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/version"
	"primespark/shared/wire"
)

func (a *API) live(w http.ResponseWriter, _ *call) error {
	return answer(w, struct {
		Live bool `json:"live"`
	}{true})
}

func (a *API) ready(w http.ResponseWriter, _ *call) error { return readiness(w, a.cfg.Health()) }

// readiness tells of the conditions that show.
func readiness(w http.ResponseWriter, all health.List) error {
	body := wire.ReadyBody{Ready: true, Reasons: []wire.Reason{}}
	for _, c := range all {
		r := wire.Reason{Code: string(c.Code), Detail: c.Detail, Remedy: c.Remedy, Since: c.Since}
		switch c.Severity {
		case health.Unready:
			body.Ready = false
			body.Reasons = append(body.Reasons, r)
		case health.Warning:
			body.Warnings = append(body.Warnings, r)
		}
	}
	if !body.Ready {
		w.Header().Set("Retry-After", "1")
		return answerWith(w, http.StatusServiceUnavailable, body)
	}
	return answer(w, body)
}

func (a *API) version(w http.ResponseWriter, _ *call) error { return answer(w, version.Get()) }

func (a *API) figures(w http.ResponseWriter, r *call) error {
	figures(a.cfg.Registry).ServeHTTP(w, r.Request)
	return nil
}

func figures(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Probes is all that a witness answers, to anybody who reaches its loopback
// listener: how it fares, and which build it is.
func Probes(conditions func() health.List, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	// That a client goes away before it has its answer is its own business.
	mux.HandleFunc("GET "+wire.PathLive, func(w http.ResponseWriter, _ *http.Request) { _ = (*API).live(nil, w, nil) })
	mux.HandleFunc("GET "+wire.PathReady, func(w http.ResponseWriter, _ *http.Request) { _ = readiness(w, conditions()) })
	mux.HandleFunc("GET "+wire.PathVersion, func(w http.ResponseWriter, _ *http.Request) { _ = (*API).version(nil, w, nil) })
	mux.Handle("GET "+wire.PathMetrics, figures(registry))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, problem.New(problem.NotFound, "Ask another coordinator; prime-spark status lists them.", "This is a witness: it has no API, and no page."))
	})
	return mux
}
