package fleet_test

import (
	"strings"
	"testing"

	"primespark/shared/fleet"
)

// TestSiteTurn: the least valuable goes first, the last coordinator's host last, and
// nobody while a node of the site has mains or cannot be asked.
func TestSiteTurn(t *testing.T) {
	node := func(name string, state fleet.PowerState, charge float64, change ...func(*fleet.Node)) fleet.Node {
		n := fleet.Node{
			Member: fleet.Member{Name: name, Role: fleet.Agent, API: name + ":7490"}, Liveness: fleet.Alive,
			Vital: fleet.Vital{Site: "barn", Power: fleet.Power{State: state, Charge: &charge}},
		}
		for _, c := range change {
			c(&n)
		}
		return n
	}
	coordinator := func(host string) fleet.Node {
		return fleet.Node{Member: fleet.Member{Name: "c-" + host, Role: fleet.Coordinator, API: host + ":7480"}, Liveness: fleet.Alive}
	}
	hailo := func(n *fleet.Node) { n.Vital.Accelerator = &fleet.Accelerator{} }
	gone := func(n *fleet.Node) { n.Liveness = fleet.Dead }
	away := func(n *fleet.Node) { n.Liveness = fleet.LinkDown }
	elsewhere := func(n *fleet.Node) { n.Vital.Site = "house" }
	const on, low = fleet.PowerOnBattery, fleet.PowerLow
	for name, test := range map[string]struct {
		view fleet.View
		want string // whose turn it is
	}{
		"nobody is low":               {fleet.View{node("a", on, .9), node("b", on, .8)}, ""},
		"the one that is low":         {fleet.View{node("a", on, .9), node("b", low, .2)}, "b"},
		"on mains":                    {fleet.View{node("a", fleet.PowerMains, .9), node("b", low, .2)}, ""},
		"mains elsewhere do not help": {fleet.View{node("a", fleet.PowerMains, .9, elsewhere), node("b", low, .2), node("c", on, .9)}, "b"},
		"one that cannot be asked":    {fleet.View{node("a", on, .9, away), node("b", low, .2)}, ""},
		"alone":                       {fleet.View{node("a", low, .2)}, ""},
		"the keeper is low":           {fleet.View{coordinator("k"), node("a", on, .9), node("b", on, .8), node("k", low, .2)}, "b"},
		"and the one before is gone":  {fleet.View{coordinator("k"), node("a", on, .9), node("b", on, .8, gone), node("k", low, .2)}, "a"},
		"one after the other":         {fleet.View{coordinator("k"), node("a", on, .9), node("b", fleet.PowerShuttingDown, .8), node("k", low, .2)}, "b"},
		"the accelerator later":       {fleet.View{coordinator("k"), node("a", on, .9), node("h", on, .5, hailo), node("k", low, .2)}, "a"},
		"coordinators after that":     {fleet.View{coordinator("k"), coordinator("l"), node("h", low, .2, hailo), node("k", low, .2), node("l", low, .2)}, "h"},
		"the fuller coordinator last": {fleet.View{coordinator("k"), coordinator("l"), node("k", low, .24), node("l", low, .15)}, "l"},
		"the last one by itself":      {fleet.View{coordinator("k"), node("a", on, .9, gone), node("k", low, .2)}, ""},
	} {
		var got []string
		for _, n := range test.view {
			if down, _ := test.view.SiteTurn("barn", n.Name); down {
				got = append(got, n.Name)
			}
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s: it is the turn of %q, want %q", name, s, test.want)
		}
	}
	v := fleet.View{coordinator("k"), node("a", low, .2), node("h", on, .5, hailo), node("k", on, .9)}
	if _, after := v.SiteTurn("barn", "a"); strings.Join(after, " ") != "k h" {
		t.Errorf("a comes back after %v, want k and h", after)
	}
	if down, after := v.SiteTurn("", "a"); down || after != nil {
		t.Error("a node of no site has a turn")
	}
}
