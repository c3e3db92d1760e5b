package lead

import (
	"fmt"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
)

func TestNextStep(t *testing.T) {
	state := fsm.State{Cluster: fsm.Cluster{Name: "home"}, Nodes: map[string]fsm.Node{
		"c1":   {Name: "c1", Role: fleet.Coordinator, State: fsm.Approved, Addresses: identity.Addresses{API: "1:1"}},
		"w1":   {Name: "w1", Role: fleet.Coordinator, State: fsm.Approved}, // without an API, as a witness
		"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Draining},
		"pi-2": {Name: "pi-2", Role: fleet.Agent, State: fsm.Revoked},
	}}
	settled := fsm.Gossip{}
	install := fsm.Gossip{Target: 1, Held: []fsm.GossipKey{{}, {Gen: 1}}}
	switched := fsm.Gossip{Primary: 1, Target: 1, Held: []fsm.GossipKey{{}, {Gen: 1}}}
	keys := func(primary uint64, held ...uint64) heartbeat.Keys {
		return heartbeat.Keys{Primary: primary, Held: held}
	}
	type holders = map[string]heartbeat.Keys
	for name, test := range map[string]struct {
		gossip fsm.Gossip
		denied bool
		held   holders
		lasted time.Duration
		want   string
	}{
		"settled":                     {gossip: settled, lasted: time.Hour, want: "<nil>"},
		"somebody was shut out":       {gossip: settled, denied: true, want: "gossip.rotate"},
		"somebody else was shut out":  {gossip: switched, denied: true, want: "gossip.rotate"},
		"all have it":                 {gossip: install, held: holders{"c1": keys(0, 0, 1), "pi-1": keys(0, 0, 1)}, want: "gossip.switch"},
		"one has it not":              {gossip: install, held: holders{"c1": keys(0, 0, 1), "pi-1": keys(0, 0)}, want: "<nil>"},
		"one is not heard":            {gossip: install, held: holders{"c1": keys(0, 0, 1)}, want: "<nil>"},
		"one is not heard for long":   {gossip: install, held: holders{"c1": keys(0, 0, 1)}, lasted: stepTime, want: "gossip.switch"},
		"all use it":                  {gossip: switched, held: holders{"c1": keys(1, 0, 1), "pi-1": keys(1, 0, 1)}, want: "gossip.drop"},
		"one uses the old one":        {gossip: switched, held: holders{"c1": keys(1, 0, 1), "pi-1": keys(0, 0, 1)}, want: "<nil>"},
		"one uses the old one always": {gossip: switched, held: holders{"c1": keys(1, 0, 1), "pi-1": keys(0, 0, 1)}, lasted: stepTime, want: "gossip.drop"},
	} {
		s := state
		s.Gossip = test.gossip
		if test.denied {
			s.Denied = map[string]time.Time{fsm.Hash("x"): time.Now()}
		}
		got := "<nil>"
		if c := nextStep(s, test.held, test.lasted); c != nil {
			got = fmt.Sprint(c.Kind())
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if c := nextStep(fsm.State{}, nil, time.Hour); c != nil {
		t.Errorf("before the cluster is founded: %v", c)
	}
}
