package api

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer"
)

// TestSpent: a request is given its share of what the node drew while it worked, and
// waiting costs nothing.
func TestSpent(t *testing.T) {
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	work := infer.Timing{Queue: time.Hour, Decode: time.Second, Infer: 2 * time.Second, Post: time.Second}
	m.spent("pets", work, 5, 0)  // 20 J
	m.spent("pets", work, 5, 1)  // two at work: 10 J
	m.spent("pets", work, 5, -1) // 20 J
	m.spent("cats", work, 0, 0)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "primespark_inference_node_joules_total" {
			continue
		}
		if all := f.GetMetric(); len(all) != 1 || all[0].GetCounter().GetValue() != 50 {
			t.Errorf("%v, want 50 J for pets, and nothing for a model whose power was not known", all)
		}
		return
	}
	t.Error("there is no figure")
}
