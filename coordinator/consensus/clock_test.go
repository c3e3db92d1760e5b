package consensus

import (
	"context"
	"testing"
	"time"

	"primespark/coordinator/fsm"
)

// TestClocksJump has commands come from coordinators whose clocks are an hour
// or a year off, either way. The log's order is the order; nobody is elected
// for it, and all agree on the same state.
func TestClocksJump(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		term := leader.Status().Term
		last := leader.Status().Applied
		var ids []string
		for _, off := range []time.Duration{365 * 24 * time.Hour, -time.Hour, 0, time.Hour, -365 * 24 * time.Hour} {
			_, c := fsm.NewToken("ada", fsm.Viewer)
			data, err := fsm.Encode(time.Now().Add(off), "coordinator:"+leader.name, c)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, err = leader.apply(ctx, data)
			cancel()
			if err != nil {
				t.Fatalf("a command from a clock that is %v off: %v", off, err)
			}
			if now := leader.Status().Applied; now <= last {
				t.Errorf("a command from a clock that is %v off has index %d after %d", off, now, last)
			} else {
				last = now
			}
			ids = append(ids, c.ID)
		}
		time.Sleep(time.Minute)
		for name, m := range g.nodes {
			s, err := m.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range ids {
				if _, ok := s.Tokens[id]; !ok {
					t.Errorf("%s does not have what a clock that was off has proposed", name)
				}
			}
		}
		if s := leader.Status(); s.Term != term || s.Role != "leader" {
			t.Errorf("term %d and %s, was leader in term %d", s.Term, s.Role, term)
		}
		checkAll(g)
	})
}
