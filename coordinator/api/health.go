package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"primespark/shared/health"
	"primespark/shared/version"
	"primespark/shared/wire"
)

func (a *API) live(w http.ResponseWriter, _ *call) error {
	return answer(w, struct {
		Live bool `json:"live"`
	}{true})
}

func (a *API) ready(w http.ResponseWriter, _ *call) error {
	body := wire.ReadyBody{Ready: true, Reasons: []wire.Reason{}}
	for _, c := range a.cfg.Health() {
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
	promhttp.HandlerFor(a.cfg.Registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second}).ServeHTTP(w, r.Request)
	return nil
}
