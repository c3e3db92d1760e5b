package agent

import (
	"maps"
	"testing"

	chip "primespark/hailo"
	"primespark/shared/worker"
)

// TestSamples leaves out what is not known.
func TestSamples(t *testing.T) {
	busy := .625
	for name, c := range map[string]struct {
		status chip.Status
		want   map[string]float64
	}{
		"not ready":   {chip.Status{Status: worker.Status{State: chip.StateBusy}, Utilization: &busy}, map[string]float64{}},
		"not told":    {chip.Status{Status: worker.Status{State: chip.StateReady}}, map[string]float64{"used": 0}},
		"utilization": {chip.Status{Status: worker.Status{State: chip.StateReady}, Utilization: &busy}, map[string]float64{"used": 0, "utilization": .625}},
	} {
		if got := samples(c.status); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
