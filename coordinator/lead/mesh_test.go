package lead

import (
	"net/netip"
	"testing"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/mesh"
)

// still is a group that never changes.
type still struct {
	Group
	state fsm.State
}

func (s still) State() (fsm.State, <-chan struct{}) { return s.state, nil }

func TestMeshDue(t *testing.T) {
	ten, none := netip.MustParsePrefix("10.77.0.0/16"), netip.Prefix{}
	ended := map[string]fsm.MeshClient{"phone": {Expires: time.Now().Add(-time.Second)}}
	half := map[string]fsm.MeshNode{"pi-1": {Keys: []mesh.Key{{Generation: 1, Until: time.Now().Add(-time.Second)}, {Generation: 2}}}}
	for name, test := range map[string]struct {
		mesh   fsm.Mesh
		wanted *netip.Prefix
		want   fsm.Command
	}{
		"nobody takes part":     {fsm.Mesh{}, &ten, nil},
		"as it should be":       {fsm.Mesh{Version: 1, Range: ten}, &ten, nil},
		"another range":         {fsm.Mesh{Version: 1}, &ten, fsm.MeshRange{Range: ten}},
		"no range any more":     {fsm.Mesh{Version: 1, Range: ten}, &none, fsm.MeshRange{}},
		"for others to say":     {fsm.Mesh{Version: 1, Range: ten}, nil, nil},
		"a client's end":        {fsm.Mesh{Version: 1, Clients: ended}, nil, fsm.MeshPrune{}},
		"the end of a key":      {fsm.Mesh{Version: 1, Nodes: half}, nil, fsm.MeshPrune{}},
		"an end before a range": {fsm.Mesh{Version: 1, Nodes: half}, &ten, fsm.MeshPrune{}},
	} {
		if got := meshDue(still{state: fsm.State{Mesh: test.mesh}}, test.wanted); got != test.want {
			t.Errorf("%s: %#v, want %#v", name, got, test.want)
		}
	}
}
