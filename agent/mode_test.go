package agent

import (
	"reflect"
	"testing"

	"primespark/agent/api"
	"primespark/shared/fleet"
)

func TestModeOf(t *testing.T) {
	node := func(name string, role fleet.Role, live fleet.Liveness, mode fleet.Mode) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: name, Role: role}, Liveness: live, Vital: fleet.Vital{Mode: mode}}
	}
	self := node("pi-1", fleet.Agent, fleet.Alive, fleet.Normal)
	for name, test := range map[string]struct {
		view fleet.View
		want fleet.Mode
	}{
		"alone":                     {fleet.View{self}, fleet.Isolated},
		"another agent":             {fleet.View{self, node("pi-2", fleet.Agent, fleet.Alive, fleet.Normal)}, fleet.Degraded},
		"a coordinator with quorum": {fleet.View{self, node("c1", fleet.Coordinator, fleet.Alive, fleet.Normal)}, fleet.Normal},
		"a coordinator without":     {fleet.View{self, node("c1", fleet.Coordinator, fleet.Alive, fleet.Degraded)}, fleet.Degraded},
		"a dead coordinator":        {fleet.View{self, node("c1", fleet.Coordinator, fleet.Dead, fleet.Normal)}, fleet.Isolated},
		"one of two with quorum":    {fleet.View{node("c1", fleet.Coordinator, fleet.Alive, fleet.Degraded), node("c2", fleet.Coordinator, fleet.Alive, fleet.Normal), self}, fleet.Normal},
		"one that said nothing yet": {fleet.View{node("c1", fleet.Coordinator, fleet.Alive, ""), self}, fleet.Degraded},
		"not even itself in sight":  {nil, fleet.Isolated},
	} {
		t.Run(name, func(t *testing.T) {
			if got := modeOf("pi-1", test.view); got != test.want {
				t.Errorf("mode %s, want %s", got, test.want)
			}
		})
	}
}

// TestVersionsOfTheFleet: of those that are alive, this node included.
func TestVersionsOfTheFleet(t *testing.T) {
	if got := fleetOf(nil); got != nil {
		t.Errorf("a node that hears of none tells of %+v", got)
	}
	node := func(name, version string, l fleet.Liveness) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: name, Version: version}, Liveness: l}
	}
	got := fleetOf(fleet.View{
		node("c1", "1.2.0", fleet.Alive), node("pi-2", "1.1.0", fleet.Alive), node("pi-1", "1.1.0", fleet.Alive),
		node("pi-3", "1.3.0", fleet.Dead), node("pi-4", "1.0.0", fleet.Dead),
	})
	if want := (&api.Fleet{Alive: 3, Newest: "1.2.0", Behind: []string{"pi-1", "pi-2"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
