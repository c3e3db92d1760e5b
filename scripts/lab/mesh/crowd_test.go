package mesh_test

import (
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
)

// crowdEnv is how many edges TestCrowd has, 88 at most; these want more than two cores to
// come up.
const crowdEnv = "PRIME_SPARK_MESH_CROWD"

// TestCrowd has two hubs and nine edges, or more, each with tunnels of its own, take a
// change of the map: an edge is out, and every other one has it in force when its
// interfaces are as the new map says. That the map itself is with a hundred nodes in time
// is told by TestMeshOfAHundred of coordinator/systest.
func TestCrowd(t *testing.T) {
	begin(t)
	if os.Getenv(labEnv) != "full" {
		t.Skip("takes 11 hosts; make mesh-lab")
	}
	edges := 9
	if text := os.Getenv(crowdEnv); text != "" {
		var err error
		edges, err = strconv.Atoi(text)
		must(t, err)
	}
	l := build(t, 2, edges)
	for _, name := range l.names {
		if name[0] == 'p' {
			l.hosts[name].within(t, 5*time.Minute, func(f meshnet.Facts) bool { return f.Report.Hub != "" })
		}
	}
	out := "pi-7"
	l.names = slices.DeleteFunc(l.names, func(n string) bool { return n == out })
	begun := time.Now()
	l.tell(t, func(m *mesh.Map) {
		m.Nodes = slices.DeleteFunc(m.Nodes, func(n mesh.Node) bool { return n.Name == out })
		m.Revoked = []mesh.PublicKey{l.hosts[out].ring.Newest().Private.Public()}
	})
	for _, name := range l.names {
		l.hosts[name].within(t, time.Minute, func(f meshnet.Facts) bool {
			return f.Report.Version == l.now.Version && f.Report.Facts.Fault == "" && !slices.ContainsFunc(f.Report.Links, func(l mesh.Link) bool { return l.Peer == out })
		})
	}
	took := time.Since(begun)
	t.Logf("%d hosts: a change of the map is in force on all within %v", edges+2, took.Round(10*time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("%v is more than 5 s", took)
	}
}
