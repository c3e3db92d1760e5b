package route_test

import (
	"testing"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
)

// TestColdComesLast: an agent that has to load the model first is asked after those that
// have it, however busy they are and whatever is drawn.
func TestColdComesLast(t *testing.T) {
	agent := func(name string, cold bool, queue int) fleet.Node {
		return fleet.Node{
			Member: fleet.Member{Name: name, Role: fleet.Agent, API: name + ":7490"}, Liveness: fleet.Alive,
			Vital: fleet.Vital{Ready: true, Queue: queue, Models: []fleet.Serving{{Name: "pets", Millis: 10, Cold: cold}}},
		}
	}
	view := fleet.View{agent("a", true, 0), agent("b", false, 50), agent("c", true, 0), agent("d", false, 40)}
	for draw := range 4 {
		c := route.Choose(route.Request{
			View: view, Model: "pets", States: map[string]string{"a": route.Approved, "b": route.Approved, "c": route.Approved, "d": route.Approved},
			Draw: func(n int) int { return draw % n },
		})
		var cold []bool
		for _, one := range c.Candidates {
			cold = append(cold, one.Cold)
		}
		if len(cold) != 4 || cold[0] || cold[1] || !cold[2] || !cold[3] {
			t.Errorf("draw %d: cold %v", draw, cold)
		}
	}
}
