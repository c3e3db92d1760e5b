package agent

import (
	"fmt"
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// TestProved: gossip makes no coordinator and hides none.
func TestProved(t *testing.T) {
	node := func(name string, role fleet.Role, l fleet.Liveness, api string) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: name, Role: role, API: api}, Liveness: l}
	}
	known := []wire.PlanCoordinator{{Name: "c1", API: "1:1"}, {Name: "c2", API: "2:2"}}
	for name, test := range map[string]struct {
		view      fleet.View
		known     []wire.PlanCoordinator
		connected map[string]string
		want      string
	}{
		"no plan yet": {
			fleet.View{node("c1", fleet.Coordinator, fleet.Alive, "9:9")}, nil, nil, "c1 coordinator alive 9:9;",
		},
		"the address is the plan's": {
			fleet.View{node("c1", fleet.Coordinator, fleet.Alive, "6:6")}, known, nil, "c1 coordinator alive 1:1;",
		},
		"dead by gossip, and takes the heartbeat": {
			fleet.View{node("c1", fleet.Coordinator, fleet.Dead, "1:1"), node("c2", fleet.Coordinator, fleet.Left, "2:2")},
			known,
			map[string]string{"c1": "1:1"},
			"c1 coordinator alive 1:1;c2 coordinator left 2:2;",
		},
		"an agent that would lead": {
			fleet.View{node("pi-1", fleet.Agent, fleet.Alive, "5:5"), node("pi-6", fleet.Coordinator, fleet.Alive, "6:6")}, known, nil, "pi-1 agent alive 5:5;",
		},
		"a coordinator made an agent": {
			fleet.View{node("c1", fleet.Agent, fleet.Alive, "6:6")}, known, nil, "c1 coordinator alive 1:1;",
		},
		"unknown to gossip": {nil, known, map[string]string{"c2": "2:2"}, "c2 coordinator alive 2:2;"},
	} {
		var got []string
		for _, n := range proved(test.view, test.known, test.connected) {
			got = append(got, fmt.Sprintf("%s %s %s %s;", n.Name, n.Role, n.Liveness, n.API))
		}
		if got := strings.Join(got, ""); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
