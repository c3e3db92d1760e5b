package systest_test

import (
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/wire"
)

// TestEveryDoorRefuses runs every kind of bad certificate against every listener
// of a fleet, and a good one, which gets in.
func TestEveryDoorRefuses(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		f.StartBroker("c1")
		f.WaitHealthy(3, 2)
		outlaws := []systest.Pass{f.PassOf("pi-2"), f.PassOf("c3")}
		c := f.Via("c1")
		defer c.Close()
		for _, name := range []string{"pi-2", "c3"} {
			if _, err := c.NodeAction(t.Context(), name, wire.Revoke); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		now := time.Now()
		for _, door := range []struct {
			name  string
			open  func(systest.Pass) error
			good  string // who is let in, by its own certificate
			role  string // that this one has
			wrong string // the role of somebody who has no business there
		}{
			{"coordinator's API", f.AskAPI("c1"), "pi-1", "agent", "monitor"},
			{"raft", f.AskRaft("c1"), "c2", "coordinator", "agent"},
			{"embedded broker", f.AskBroker("c1"), "pi-1", "agent", "monitor"},
			{"agent's API", f.AskAPI("pi-1"), "c2", "coordinator", "monitor"},
		} {
			if err := door.open(f.PassOf(door.good)); err != nil {
				t.Errorf("%s: %s is refused: %v", door.name, door.good, err)
			}
			fresh := f.Forge("", "test", door.role, door.good, now)
			if err := door.open(fresh); err != nil {
				t.Errorf("%s: a certificate made as the bad ones are, but good, is refused: %v", door.name, err)
			}
			bad := map[string]systest.Pass{
				"other CA":      f.Forge("another authority", "test", door.role, door.good, now),
				"expired":       f.Forge("", "test", door.role, door.good, now.Add(-31*24*time.Hour)),
				"not yet valid": f.Forge("", "test", door.role, door.good, now.Add(2*time.Hour)),
				"wrong role":    f.Forge("", "test", door.wrong, "pi-1", now),
				"other cluster": f.Forge("", "elsewhere", door.role, door.good, now),
			}
			for _, p := range outlaws {
				bad["revoked "+p.Name] = p
			}
			for what, pass := range bad {
				if err := door.open(pass); err == nil {
					t.Errorf("%s: a certificate is let in: %s", door.name, what)
				}
			}
		}
	})
}
