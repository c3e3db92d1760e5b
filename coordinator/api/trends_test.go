package api

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/history"
	"primespark/shared/fleet"
	"primespark/shared/telemetry"
)

// diary is a history that knows of one battery, and fails as often as it is told to.
type diary struct {
	History
	asked chan history.Query
	fails error
}

func (d *diary) Minutes(_ context.Context, q history.Query, step time.Duration) (all []history.Minute, more bool, err error) {
	for at := q.From.Truncate(step); at.Before(q.To); at = at.Add(step) {
		all = append(all, history.Minute{Stream: telemetry.Battery, Field: "state_of_charge", At: at, Min: 0.5, Mean: 0.5, Max: 0.5, Count: 1})
	}
	d.asked <- q
	return all, false, d.fails
}

// TestTrends: the page shows how full a battery was before the coordinator started, and
// asks the history once for that.
func TestTrends(t *testing.T) {
	for name, test := range map[string]struct {
		fails error
		want  string
	}{
		"known":      {nil, "charge in the last 12 h: 50 to 100 %"},
		"unreadable": {errors.New("bad sector"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.api.cfg.Log = slog.New(slog.DiscardHandler)
			d := &diary{asked: make(chan history.Query, 9), fails: test.fails}
			l.api.cfg.History = d
			l.change("pi-1", func(n *fleet.Node) { n.Vital.Power = fleet.Power{Source: fleet.Mains, Charge: new(1.0)} })
			l.api.page.Store(l.api.sheet(time.Now()))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- Trends{l.api}.Run(ctx) }()
			if q := <-d.asked; q.Node != "pi-1" || q.Stream != telemetry.Battery || q.To.Sub(q.From) != 12*time.Hour {
				t.Errorf("asked for %+v", q)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			page := l.browse("/").Body.String()
			if got := strings.Contains(page, `class="trend"`); got != (test.want != "") || !strings.Contains(page, test.want) {
				t.Errorf("the page has a curve: %v, want %q", got, test.want)
			}
			if name := l.api.trends.Wanted(time.Now()); name != "" {
				t.Errorf("%s is asked for again at once", name)
			}
		})
	}
}

// TestTrendsWithoutHistory: a witness and a coordinator without a disk for it do without.
func TestTrendsWithoutHistory(t *testing.T) {
	l := newLab(t)
	l.api.cfg.History = nil
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (Trends{l.api}).Run(ctx); err != nil {
		t.Error(err)
	}
}
