package coordinator

import (
	"testing"

	"primespark/coordinator/config"
	"primespark/shared/fleet"
	"primespark/shared/identity"
)

func TestCompanion(t *testing.T) {
	node := func(name, api string, role fleet.Role, is fleet.Liveness) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: name, Role: role, API: api}, Liveness: is}
	}
	view := fleet.View{
		node("c1", "10.0.0.1:7480", fleet.Coordinator, fleet.Alive),
		node("pi-1", "10.0.0.1:7490", fleet.Agent, fleet.Alive),
		node("pi-2", "10.0.0.2:7490", fleet.Agent, fleet.Alive),
		node("pi-3", "10.0.0.3:7490", fleet.Agent, fleet.Dead),
		node("pi-4", "10.0.0.4:7490", fleet.Agent, fleet.Alive),
		node("pi-5", "10.0.0.4:7491", fleet.Agent, fleet.Alive),
		node("pi-6", "", fleet.Agent, fleet.Alive),
	}
	for name, test := range map[string]struct{ named, raft, want string }{
		"the one at the same host": {"", "10.0.0.1:7481", "pi-1"},
		"named":                    {"pi-2", "10.0.0.1:7481", "pi-2"},
		"named, and not there":     {"pi-9", "10.0.0.1:7481", ""},
		"dead":                     {"", "10.0.0.3:7481", ""},
		"several":                  {"", "10.0.0.4:7481", ""},
		"one of several, named":    {"pi-5", "10.0.0.4:7481", "pi-5"},
		"none":                     {"", "10.0.0.9:7481", ""},
		"no address":               {"", "", ""},
	} {
		got, ok := companion(config.Config{Node: test.named}, identity.Addresses{Raft: test.raft}, view)
		if got.Name != test.want || ok != (test.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got.Name, ok, test.want)
		}
	}
}
