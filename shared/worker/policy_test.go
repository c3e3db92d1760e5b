package worker

import (
	"errors"
	"testing"
	"time"

	"primespark/shared/worker/frame"
)

func TestPolicy(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var p policy
	fail := func(after, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		if got := p.failed(now); got != want {
			t.Errorf("the next try after %v, want %v", got, want)
		}
	}
	// Four failures in a row: each pause is longer; with the fifth the circuit breaks.
	fail(0, time.Second)
	fail(2*time.Second, 2*time.Second)
	fail(3*time.Second, 5*time.Second)
	fail(6*time.Second, 15*time.Second)
	fail(16*time.Second, 5*time.Minute)
	// A single failure of the single try breaks it again, however late it comes.
	p.lived(time.Second)
	fail(5*time.Minute, 5*time.Minute)
	fail(time.Hour, 5*time.Minute)
	// A worker that lived closes it.
	p.lived(healed)
	fail(time.Hour, time.Second)
	// Failures far apart do not add up.
	for range 10 {
		fail(4*time.Minute, 2*time.Second)
		p.lived(4 * time.Minute)
		fail(6*time.Minute, time.Second)
	}
	// One that means nothing may pass, until a worker has lived again.
	if !p.spared() || p.spared() {
		t.Error("not exactly one failure was let pass")
	}
	if p.lived(healed); !p.spared() {
		t.Error("a worker lived, and the next failure was not let pass")
	}
}

func TestGrowth(t *testing.T) {
	const most = 100
	size := growth{most: most, models: -1}
	for i, step := range []struct {
		models      int
		rss         uint64
		lived       time.Duration
		goes, early bool
	}{
		{models: 0, rss: 50},
		{models: 2, rss: 5000},                // models take what they take
		{models: 2, rss: 5100},                // as much as it may
		{models: 2, rss: 4000},                // it gave some back
		{models: 3, rss: 9000, lived: healed}, // another model
		{models: 3, rss: 9101, lived: healed, goes: true},
		{models: 3, rss: 9101, lived: healed - 1, goes: true, early: true},
	} {
		err := size.add(frame.PingReply{Models: step.models, RSS: step.rss}, step.lived)
		_, planned := errors.AsType[*plan](err)
		if (err != nil) != step.goes || planned != (step.goes && !step.early) {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

func TestDownSaysThingsOnce(t *testing.T) {
	because := errors.New("it broke")
	for want, d := range map[string]Down{
		"The chip is away.":            {Finding: Finding{Detail: "The chip is away."}},
		"The chip is away: it broke":   {Finding: Finding{Detail: "The chip is away."}, Err: because},
		"The worker failed: it broke.": {Finding: Finding{Detail: "The worker failed: it broke."}, Err: because},
	} {
		if got := d.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
