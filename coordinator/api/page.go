package api

import (
	"io"
	"net/http"
	"time"

	"primespark/coordinator/status"
)

// showPage shows the fleet as this coordinator knows it; it never waits for a quorum.
func (a *API) showPage(w http.ResponseWriter, r *call) error {
	v := a.view(time.Now())
	return status.Show(w, http.StatusOK, func(b io.Writer) error { return status.Render(b, v, r.who.Session) })
}

var static = status.Static()

func (a *API) static(w http.ResponseWriter, r *call) error {
	static.ServeHTTP(w, r.Request)
	return nil
}
