package consensus

import (
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/pipenet"
)

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newGroup(t, &pipenet.Net{}).found()
		reg := prometheus.NewPedanticRegistry()
		if err := m.register(reg); err != nil {
			t.Fatal(err)
		}
		if err := m.register(reg); err == nil {
			t.Error("two nodes share the names of their metrics and nobody says so")
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		if got["primespark_raft_leader"] != 1 || got["primespark_raft_servers"] != 1 || got["primespark_raft_applied_index"] == 0 || len(got) != 6 {
			t.Errorf("a leader alone shows %v", got)
		}
	})
}
