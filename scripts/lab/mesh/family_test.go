package mesh_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"primespark/shared/mesh"
)

// TestIPv4 gives the mesh a range of IPv4, too: connections by it pass through a hub, by
// the other one when that is cut off, and directly.
func TestIPv4(t *testing.T) {
	begin(t)
	l := build(t, 2, 2)
	at := map[string]netip.Addr{}
	l.tell(t, func(m *mesh.Map) {
		m.IPv4 = netip.MustParsePrefix("10.77.0.0/16")
		a := m.IPv4.Addr()
		for i := range m.Nodes {
			a = a.Next()
			m.Nodes[i].IPv4, at[m.Nodes[i].Name] = a, a
		}
	})
	l.by(t, "pi-1", "c1")
	l.by(t, "pi-2", "c1")
	l.child(t, "pi-2", flowEnv+"=sink")
	t.Logf("by a hub: %+v", l.bulk(t, "pi-1", at["pi-2"]))
	if os.Getenv(labEnv) != "full" {
		return
	}
	must(t, l.hosts["c1"].Cut(l.others("c1")...))
	for _, edge := range []string{"pi-1", "pi-2"} {
		l.by(t, edge, "c2")
	}
	t.Logf("by the other one: %+v", l.bulk(t, "pi-1", at["pi-2"]))
	l.neighbours(t)
	for _, edge := range []string{"pi-1", "pi-2"} {
		l.hosts[edge].within(t, time.Minute, direct)
	}
	must(t, l.hosts["c2"].Cut(l.others("c2")...))
	t.Logf("directly: %+v", l.bulk(t, "pi-1", at["pi-2"]))
	for _, name := range l.names {
		if words := l.hosts[name].words(); strings.Contains(words, "not as it should be") {
			t.Errorf("the range is new, and %s", words)
		}
	}
}
