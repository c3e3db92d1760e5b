package consensus

import (
	"testing"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
)

func TestNextMove(t *testing.T) {
	node := func(name, address string, state fsm.NodeState) fsm.Node {
		return fsm.Node{Name: name, Role: fleet.Coordinator, State: state, Addresses: identity.Addresses{Raft: address}}
	}
	state := func(nodes ...fsm.Node) (s fsm.State) {
		s.Nodes = map[string]fsm.Node{"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved, Addresses: identity.Addresses{Raft: "pi-1:1"}}}
		for _, n := range nodes {
			s.Nodes[n.Name] = n
		}
		return s
	}
	one, two := node("c1", "a:1", fsm.Approved), node("c2", "b:1", fsm.Approved)
	s1, s2 := Server{"c1", "a:1", true}, Server{"c2", "b:1", true}
	follows := Server{"c2", "b:1", false}
	for name, test := range map[string]struct {
		state   fsm.State
		servers []Server
		health  map[string]health
		want    move
	}{
		"nothing to do":          {state(one, two), []Server{s1, s2}, nil, move{}},
		"not founded yet":        {fsm.State{}, []Server{s1}, nil, move{}},
		"new one":                {state(one, two), []Server{s1}, nil, move{add, "c2", "b:1"}},
		"draining one":           {state(one, node("c2", "b:1", fsm.Draining)), []Server{s1}, nil, move{add, "c2", "b:1"}},
		"pending one":            {state(one, node("c2", "b:1", fsm.Pending)), []Server{s1}, nil, move{}},
		"no address":             {state(one, node("c2", "", fsm.Approved)), []Server{s1}, nil, move{}},
		"address taken":          {state(one, node("c2", "a:1", fsm.Approved), node("c3", "c:1", fsm.Approved)), []Server{s1}, nil, move{add, "c3", "c:1"}},
		"not ready":              {state(one, two), []Server{s1, follows}, nil, move{}},
		"ready":                  {state(one, two), []Server{s1, follows}, map[string]health{"c2": {ready: true}}, move{promote, "c2", "b:1"}},
		"one absent, one ready":  {state(one, two, node("c0", "z:1", fsm.Approved)), []Server{{"c0", "z:1", false}, s1, follows}, map[string]health{"c2": {ready: true}}, move{promote, "c2", "b:1"}},
		"fresh, follows":         {state(one, two), []Server{s1, follows}, map[string]health{"c2": {fresh: true}}, move{}},
		"fresh, votes":           {state(one, two), []Server{s1, s2}, map[string]health{"c2": {fresh: true}}, move{demote, "c2", "b:1"}},
		"moved":                  {state(one, node("c2", "b:2", fsm.Approved)), []Server{s1, s2}, nil, move{readdr, "c2", "b:2"}},
		"pending, and a member":  {state(one, node("c2", "b:1", fsm.Pending)), []Server{s1, s2}, nil, move{remove, "c2", ""}},
		"revoked":                {state(one, node("c2", "b:1", fsm.Revoked)), []Server{s1, s2}, nil, move{remove, "c2", ""}},
		"leader revoked":         {state(node("c1", "a:1", fsm.Revoked), two), []Server{s1, s2}, nil, move{resign, "c1", ""}},
		"leader and one revoked": {state(node("c1", "a:1", fsm.Revoked), two, node("c3", "c:1", fsm.Revoked)), []Server{s1, s2, {"c3", "c:1", true}}, nil, move{remove, "c3", ""}},
		"agent by now":           {state(one), []Server{s1, {"pi-1", "b:1", true}}, nil, move{remove, "pi-1", ""}},
		"unknown member":         {state(one), []Server{s1, s2}, nil, move{}},
	} {
		got := nextMove(test.state, test.servers, "c1", func(name string) health { return test.health[name] })
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

func TestProfiles(t *testing.T) {
	for _, name := range []string{"lan", "wan"} {
		if p, err := ProfileOf(name); err != nil || p.Lease > p.Heartbeat || p.Election < p.Heartbeat {
			t.Errorf("%s: %+v, %v; raft refuses such", name, p, err)
		}
	}
	if _, err := ProfileOf("moon"); err == nil {
		t.Error("an unknown profile was accepted")
	}
}
