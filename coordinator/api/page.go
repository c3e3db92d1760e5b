package api

import (
	"io"
	"net/http"
	"strings"
	"time"

	"primespark/coordinator/history"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/version"
)

// showPage shows the fleet as this coordinator knows it; it never waits for a quorum.
func (a *API) showPage(w http.ResponseWriter, r *call) error {
	sheet := a.sheet(time.Now())
	a.looks.hand(sheet)
	return status.Show(w, r.Request, http.StatusOK, func(b io.Writer) error { return status.Render(b, sheet, reader(r.who)) })
}

// reader is who looks at a page, as the page has it.
func reader(p Principal) status.Reader {
	r := status.Reader{Role: string(p.Role), Session: p.Session, Operate: Operate.to(p.Role)}
	if name, ok := strings.CutPrefix(p.Actor, "token:"); ok {
		r.Name = name
	}
	return r
}

// Bounds of a page with charts: the minutes of a month are read for one.
const (
	drawing     = 2      // at a time, so that a phone that reloads costs the coordinator no more than one core or two
	pointsMost  = 50_000 // of all fields of a node; the usual ones are 20, of 180 points at most
	historyAway = "Open this page on another coordinator: each keeps all of the history."
)

// showNode shows one node as this coordinator knows it, and what it has measured.
func (a *API) showNode(w http.ResponseWriter, r *call) error {
	s := a.readStale(w)
	if s.Cluster.Name == "" {
		return blank()
	}
	n, ok := s.Nodes[r.PathValue("name")]
	if !ok {
		return noNode(r.PathValue("name"))
	}
	back, ok := status.FindRange(r.URL.Query().Get("range"))
	if !ok {
		return problem.New(problem.Invalid, "Give 1h, 24h or 30d.", "There are no charts of a range of %.20q.", r.URL.Query().Get("range"))
	}
	now := time.Now()
	p := a.picture(s, now)
	v := status.NodeView{
		Self: a.cfg.Self, At: now.UTC(), Version: version.Number, Cluster: s.Cluster.Name, Mode: p.status().Mode, Node: p.node(n), Range: back,
	}
	if n.Role == fleet.Agent {
		if err := a.recall(r, &v); err != nil {
			return err
		}
	}
	return status.Show(w, r.Request, http.StatusOK, func(b io.Writer) error { return status.RenderNode(b, v, reader(r.who)) })
}

// recall reads what the charts of a page show. That it cannot be read is said on
// the page, which is of use without it.
func (a *API) recall(r *call, v *status.NodeView) error {
	if a.cfg.History == nil {
		v.Trouble = a.cfg.Self + " keeps no history. " + historyAway
		return nil
	}
	select {
	case a.drawing <- struct{}{}:
		defer func() { <-a.drawing }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	span := v.Range.Span(v.At)
	var err error
	v.Samples, v.More, err = a.minutes(r.Context(), history.Query{Node: v.Node.Name, From: span.From, To: span.To(), Limit: pointsMost}, span.Step)
	if err := r.Context().Err(); err != nil {
		return err // whoever asked has left
	}
	if err != nil {
		a.cfg.Log.Error("history not read", "node", v.Node.Name, "err", err)
		v.Samples, v.Trouble = nil, "The history on the disk of "+a.cfg.Self+" cannot be read; its log says why. "+historyAway
	}
	return nil
}

var static = status.Static()

func (a *API) static(w http.ResponseWriter, r *call) error {
	static.ServeHTTP(w, r.Request)
	return nil
}
