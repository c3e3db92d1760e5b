package api

import (
	"net/http"
	"slices"
	"time"

	"primespark/shared/health"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/version"
)

// livez says that the process answers. What else is wrong is readyz's matter: a
// restart would not mend it.
func (a *API) livez(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, map[string]bool{"live": true})
}

// A reason is a condition as /readyz shows it.
type reason struct {
	Code   health.Code `json:"code"`
	Detail string      `json:"detail"`
	Remedy string      `json:"remedy"`
	Since  time.Time   `json:"since"`
}

func (a *API) readyz(w http.ResponseWriter, _ *http.Request) error {
	reasons, warnings := []reason{}, []reason{}
	for _, c := range a.out.Health.All() {
		r := reason{c.Code, c.Detail, c.Remedy, c.Since.UTC()}
		switch c.Severity {
		case health.Unready:
			reasons = append(reasons, r)
		case health.Warning:
			warnings = append(warnings, r)
		}
	}
	body := map[string]any{"ready": len(reasons) == 0, "reasons": reasons}
	if len(warnings) > 0 {
		body["warnings"] = warnings
	}
	return reply(w, readyStatus(w, len(reasons) == 0), body)
}

// readyStatus returns the status of a probe, and sets what an answer that is no
// has to have.
func readyStatus(w http.ResponseWriter, ready bool) int {
	if ready {
		return http.StatusOK
	}
	problem.Header(w, &problem.Error{Code: problem.NotReady})
	return http.StatusServiceUnavailable
}

func (a *API) node(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, struct {
		Self
		Models []model.Status `json:"models"`
	}{a.out.Self(), append([]model.Status{}, a.out.Models.Index()...)})
}

func (a *API) server2(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, oip.Server{
		Name: "prime-spark", Version: version.Number,
		Extensions: []string{oip.BinaryTensorData, oip.Classification, oip.ModelRepository, oip.Statistics},
	})
}

func (a *API) live2(w http.ResponseWriter, _ *http.Request) error {
	return reply(w, http.StatusOK, oip.Health{Live: true, Ready: len(a.out.Health.Reasons()) == 0})
}

func (a *API) ready2(w http.ResponseWriter, _ *http.Request) error {
	ready := len(a.out.Health.Reasons()) == 0
	return reply(w, readyStatus(w, ready), oip.Health{Live: true, Ready: ready})
}

func (a *API) metadata(w http.ResponseWriter, r *http.Request) error {
	name, v, err := named(r)
	if err != nil {
		return err
	}
	m, err := a.out.Models.Metadata(name, v)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, oip.Metadata(m))
}

func (a *API) modelReady(w http.ResponseWriter, r *http.Request) error {
	name, v, err := named(r)
	if err != nil {
		return err
	}
	ready := a.out.Models.Ready(name, v)
	if !ready && !slices.ContainsFunc(a.out.Models.Index(), func(s model.Status) bool {
		return s.Name == name && (v == "" || s.Version == v)
	}) {
		return unknownModel(name, v)
	}
	return reply(w, readyStatus(w, ready), oip.ModelReady{Name: name, Ready: ready})
}

// named returns the model and the version that a path names.
func named(r *http.Request) (name, version string, err error) {
	name, version = r.PathValue("m"), r.PathValue("v")
	if !model.ValidName(name) {
		return "", "", unknownModel(name, version)
	}
	return name, version, nil
}

func unknownModel(name, version string) error {
	what := clip(name)
	if version != "" {
		what += " version " + clip(version)
	}
	return problem.New(problem.NotFound, "POST /v2/repository/index lists the models of this node.", "There is no model %s here.", what)
}
