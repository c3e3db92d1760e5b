package api

import (
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// TestStatusTellsWhoIsBehind: of those that are alive and belong to the fleet.
func TestStatusTellsWhoIsBehind(t *testing.T) {
	l := newLab(t)
	l.nodes.Update(func(v fleet.View) fleet.View {
		all := append(fleet.View{}, v...)
		for i, version := range map[int]string{0: "1.10.0", 1: "1.9.2", 2: "dev", 3: "0.9.0", 4: "1.0.0"} {
			all[i].Version = version // pi-2 is not approved yet, and c3 is dead
		}
		return append(all, fleet.Node{Member: fleet.Member{Name: "stranger", Version: "9.0.0"}, Liveness: fleet.Alive})
	})
	const want = `"outdated":["c2"],"newest":"1.10.0"`
	if body := l.do(l.as("viewer", "GET", wire.PathStatus, "")).Body.String(); !strings.Contains(body, want) {
		t.Errorf("%s, want %s", body, want)
	}
}
