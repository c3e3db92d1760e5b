package api

import (
	"net/http"
	"slices"
	"strings"

	"primespark/coordinator/fsm"
	"primespark/shared/wire"
)

func (a *API) alerts(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	return answer(w, wire.AlertsBody{Alerts: openAlerts(s)})
}

// openAlerts are those that hold, the critical ones first and then the oldest.
func openAlerts(s fsm.State) []wire.Alert {
	all := []wire.Alert{}
	for _, a := range s.Alerts {
		if !a.Resolved.IsZero() {
			continue // kept until its end was told
		}
		one := wire.Alert{
			ID: a.ID, Key: a.Key, Rule: a.Rule, Subject: a.Subject, Severity: a.Severity,
			Detail: a.Detail, Remedy: a.Remedy, Since: a.Since, Told: []wire.AlertTold{},
		}
		for message, d := range a.Sent {
			if channel, phase, _ := strings.Cut(message, " "); phase == "firing" && d.Done {
				one.Told = append(one.Told, wire.AlertTold{Channel: channel, At: d.At, By: d.Node})
			}
		}
		slices.SortFunc(one.Told, func(a, b wire.AlertTold) int { return a.At.Compare(b.At) })
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b wire.Alert) int {
		if c := strings.Compare(a.Severity, b.Severity); c != 0 { // critical, warning
			return c
		}
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.Key, b.Key)
	})
	return all
}
