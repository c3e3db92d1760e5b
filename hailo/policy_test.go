package hailo

import (
	"testing"
	"time"
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
}
