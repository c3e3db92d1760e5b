package hailo

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	chip "primespark/hailo"
)

// TestUtilizationMetric leaves the metric out while nobody knows.
func TestUtilizationMetric(t *testing.T) {
	var st chip.Status
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewMetrics(func() chip.Status { return st }))
	told := func() (all []float64) {
		t.Helper()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "primespark_hailo_utilization_ratio" {
				all = append(all, f.GetMetric()[0].GetGauge().GetValue())
			}
		}
		return all
	}
	if got := told(); got != nil {
		t.Errorf("it is %v, and nobody knows", got)
	}
	busy := .625
	st.Utilization = &busy
	if got := told(); len(got) != 1 || got[0] != .625 {
		t.Errorf("it is %v", got)
	}
}
