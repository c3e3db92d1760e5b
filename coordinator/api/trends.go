package api

import (
	"context"
	"time"

	"primespark/coordinator/history"
	"primespark/coordinator/status"
	"primespark/shared/telemetry"
)

// Trends reads for the page how full batteries were before this coordinator started, or
// while it did not hear of them. The page does without what cannot be read.
type Trends struct{ API *API }

func (Trends) String() string { return "battery curves" }

// trendRest is how much longer than a look into the history the pause after it is: the
// curves of a thousand agents may come a while later, and cost little of a processor.
const trendRest = 20

// Run works until ctx ends.
func (t Trends) Run(ctx context.Context) error {
	a := t.API
	if a.cfg.History == nil {
		<-ctx.Done()
		return nil
	}
	for {
		_, changed := a.page.Load()
		for {
			name := a.trends.Wanted(time.Now())
			if name == "" {
				break
			}
			begun := time.Now()
			if err := a.recallTrend(ctx, name); err != nil && ctx.Err() == nil {
				a.cfg.Log.Warn("curve of a battery not read, trying again in an hour", "node", name, "err", err)
			}
			pause := time.NewTimer(trendRest * time.Since(begun))
			select {
			case <-pause.C:
			case <-ctx.Done():
				pause.Stop()
				return nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// recallTrend fills in the curve of one agent; with nothing if that cannot be read.
func (a *API) recallTrend(ctx context.Context, name string) error {
	now := time.Now()
	from := now.Add(-status.TrendSpan)
	known, _, err := a.minutes(ctx, history.Query{Node: name, Stream: telemetry.Battery, From: from, To: now, Limit: pointsMost}, status.TrendStep)
	if err != nil {
		known = nil
	}
	a.trends.Fill(name, now, known)
	return err
}
