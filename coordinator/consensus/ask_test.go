package consensus

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/problem"
)

// TestAsk asks the leader from each coordinator, by way of an election.
func TestAsk(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		var asked [3]atomic.Int32
		for i, name := range []string{"c1", "c2", "c3"} {
			g.nodes[name].OnAsk(func(_ context.Context, body []byte) error {
				asked[i].Add(1)
				if string(body) != "yes" {
					return problem.New(problem.StaleLease, "Stop.", "It has ended.")
				}
				return nil
			})
		}
		ordinal := map[string]int{"c1": 0, "c2": 1, "c3": 2}
		leader := g.leader("c1", "c2", "c3").name
		for name := range ordinal {
			if err := g.nodes[name].Ask(t.Context(), []byte("yes")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := g.nodes[name].Ask(t.Context(), []byte("no")); !problem.Is(err, problem.StaleLease) {
				t.Errorf("%s is refused with %v", name, err)
			}
		}
		if n := asked[ordinal[leader]].Load(); n != 6 {
			t.Errorf("the leader answered %d times, want 6", n)
		}
		rest := g.others(leader)
		g.net.Isolate(leader)
		start := time.Now()
		if err := g.nodes[rest[0]].Ask(t.Context(), []byte("yes")); err != nil {
			t.Errorf("after the leader was cut off: %v", err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("the next leader answers after %v", took)
		}
	})
}
