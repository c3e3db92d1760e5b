package consensus

import (
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
)

func TestStays(t *testing.T) {
	for name, test := range map[string]struct {
		here, away string
		want       string // part of the refusal; empty: none
	}{
		"one of three":                       {"a b", "", ""},
		"the missing one of three":           {"a b", "", ""},
		"one of three while another is away": {"a", "b", "only 1 of 2 coordinators that vote would answer (not b), and it takes 2"},
		"one of two":                         {"a", "", ""},
		"one of four, another away":          {"a b", "c", ""},
		"one of five, two away":              {"a b", "c d", "only 2 of 4"},
	} {
		err := stays("x", strings.Fields(test.here), strings.Fields(test.away))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err != nil && (!problem.Is(err, problem.Conflict) || !strings.Contains(problem.Of(err).Remedy, "--force")) {
			t.Errorf("%s: %+v: no conflict, or no way out", name, problem.Of(err))
		}
	}
}

// TestDepartKeepsQuorum: one of three may go while all are there, and the one
// that is away; not another one, unless that is wanted.
func TestDepartKeepsQuorum(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		leader := g.leader("c1", "c2", "c3")
		rest := g.others(leader.name)
		for _, name := range rest {
			if err := leader.Depart(t.Context(), name, false); err != nil {
				t.Errorf("all are there, and %s may not go: %v", name, err)
			}
		}
		g.net.Isolate(rest[0])
		time.Sleep(2 * time.Second)
		if err := leader.Depart(t.Context(), rest[0], false); err != nil {
			t.Errorf("the one that is away may not go: %v", err)
		}
		if err := leader.Depart(t.Context(), rest[1], false); !problem.Is(err, problem.Conflict) {
			t.Errorf("the last one besides the leader may go: %v", err)
		}
		if err := g.nodes[rest[1]].Depart(t.Context(), leader.name, false); !problem.Is(err, problem.Conflict) {
			t.Errorf("the leader may go, and leave one of two: %v", err)
		}
		if err := leader.Depart(t.Context(), rest[1], true); err != nil {
			t.Errorf("by force: %v", err)
		}
		if err := leader.Depart(t.Context(), "nobody", false); err != nil {
			t.Errorf("one that does not vote: %v", err)
		}
	})
}

// TestLeaderDeparts: it hands over, is removed, and finds out that it is.
func TestLeaderDeparts(t *testing.T) {
	inBubble(t, func(t *testing.T, g *group) {
		old := g.leader("c1", "c2", "c3")
		rest := g.others(old.name)
		begin := time.Now()
		if err := g.nodes[rest[0]].Depart(t.Context(), old.name, false); err != nil {
			t.Fatal(err)
		}
		if g.nodes[rest[0]].Status().Leader == old.name {
			t.Fatal("it leads on")
		}
		g.propose(rest[0], fsm.NodeRevoke{Name: old.name})
		if took := time.Since(begin); took > 200*time.Millisecond {
			t.Errorf("the leader was relieved and revoked in %v, want at most 200 ms", took)
		}
		g.wait("it is out of the configuration", func() bool {
			return !slices.ContainsFunc(g.nodes[rest[0]].Status().Servers, func(s Server) bool { return s.Name == old.name })
		})
		g.wait("it finds out", func() bool { return old.Shunned(t.Context()) })
		term := g.nodes[rest[0]].Status().Term
		time.Sleep(time.Minute)
		if now := g.nodes[rest[0]].Status(); now.Term != term {
			t.Errorf("the term rose from %d to %d: the removed one disturbs the others", term, now.Term)
		}
		if g.nodes[rest[0]].Shunned(t.Context()) {
			t.Error("a member takes itself for removed")
		}
		if _, err := g.token(rest[1]); err != nil {
			t.Error(err)
		}
	})
}
