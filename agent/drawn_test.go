package agent

import (
	"testing"
	"time"

	"primespark/shared/telemetry"
)

// TestDrawn: only a fresh sample that measures the power tells of it.
func TestDrawn(t *testing.T) {
	now := time.Now()
	sample := func(age time.Duration, field string) telemetry.Newest {
		return telemetry.Newest{telemetry.Battery: {At: now.Add(-age), Value: telemetry.Fields(map[string]float64{field: 6.5})}}
	}
	for name, test := range map[string]struct {
		newest telemetry.Newest
		want   float64
	}{
		"none": {nil, 0}, "fresh": {sample(time.Second, "load_watts"), 6.5}, "old": {sample(time.Hour, "load_watts"), 0}, "only volts": {sample(0, "volts"), 0},
	} {
		if got := drawn(test.newest, now); got != test.want {
			t.Errorf("%s: %v W, want %v", name, got, test.want)
		}
	}
}
