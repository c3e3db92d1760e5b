package consensus

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/pipenet"
	"primespark/shared/problem"
)

func TestThreeOnLoopback(t *testing.T) {
	g := newGroup(t, nil).three()
	checkAll(g)
}

func TestThreeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(t, &pipenet.Net{}).three()
		checkAll(g)
	})
}

// checkAll proposes and reads at every node, and compares the checksums.
func checkAll(g *group) {
	g.t.Helper()
	g.leader(g.others()...)
	for at := range g.nodes {
		id, err := g.token(at)
		if err != nil {
			g.t.Fatalf("propose at %s: %v", at, err)
		}
		for reader := range g.nodes {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			s, err := g.nodes[reader].Read(ctx)
			cancel()
			if err != nil {
				g.t.Fatalf("read at %s: %v", reader, err)
			}
			if _, ok := s.Tokens[id]; !ok {
				g.t.Errorf("%s acknowledged %s, a later read at %s does not show it", at, id, reader)
			}
		}
	}
	_, err := g.nodes["c2"].Propose(context.Background(), "token:test", fsm.TokenRevoke{ID: "nobody"})
	if e := problem.Of(err); e.Code != problem.NotFound || e.Remedy == "" {
		g.t.Errorf("a refusal that was forwarded is %+v, want not_found with its remedy", e)
	}
	g.wait("equal checksums", func() bool {
		return !slices.ContainsFunc(g.others(g.witness), func(name string) bool {
			return !same(g.nodes[name].Node, g.nodes["c1"].Node)
		})
	})
}
