package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"primespark/shared/model"
	"primespark/shared/oip"
)

// maxControl bounds the body of a request to the repository.
const maxControl = 64 << 10

// optional reads a small JSON body into v, if there is one.
func (a *API) optional(w http.ResponseWriter, r *http.Request, v any) error {
	b, err := a.bodies.read(w, r, maxControl)
	if err != nil {
		return err
	}
	defer b.release()
	return oip.DecodeOptional(b.bytes(), v)
}

func (a *API) index(w http.ResponseWriter, r *http.Request) error {
	var want oip.IndexRequest
	if err := a.optional(w, r, &want); err != nil {
		return err
	}
	models := append([]model.Status{}, a.out.Models.Index()...)
	if want.Ready {
		models = slices.DeleteFunc(models, func(s model.Status) bool { return s.State != model.Ready })
	}
	return reply(w, http.StatusOK, models)
}

func (a *API) load(w http.ResponseWriter, r *http.Request) error {
	return a.control(w, r, a.out.Models.Load)
}

func (a *API) unload(w http.ResponseWriter, r *http.Request) error {
	return a.control(w, r, a.out.Models.Unload)
}

func (a *API) control(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, name string) error) error {
	name, _, err := named(r)
	if err != nil {
		return err
	}
	var req oip.LoadRequest
	if err := a.optional(w, r, &req); err != nil {
		return err
	}
	if err := req.Refuse(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.cfg.LoadTime)
	defer cancel()
	extend(w, a.cfg.LoadTime)
	if err := do(ctx, name); err != nil {
		return translate(err, name)
	}
	return reply(w, http.StatusOK, struct{}{})
}

// extend lets a handler that has read its body work for d, which may be longer
// than the server's own limits. Without it the end of the time to read would end
// the request's context.
func extend(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	// A writer that has no deadlines (a test's recorder) needs none.
	_ = c.SetReadDeadline(time.Now().Add(d + requestSlack))
	_ = c.SetWriteDeadline(time.Now().Add(d + requestSlack))
}
