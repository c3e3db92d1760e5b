package systest_test

import (
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// TestLeadFollowsPower: the host of the leader loses its mains, and one on mains
// leads, without a gap.
func TestLeadFollowsPower(t *testing.T) {
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		f.Together("c1", "pi-1")
		f.WaitHealthy(1, 1)
		f.JoinCoordinator("c2")
		f.JoinCoordinator("c3")
		if s := f.WaitHealthy(3, 1); s.Leader != "c1" {
			t.Fatalf("%s leads, want c1", s.Leader)
		}
		time.Sleep(time.Minute) // the others have been well for some time
		f.Discharge("pi-1")
		rest := f.Via("c2", "c3")
		defer rest.Close()
		_, took := rest.Wait("one on mains leads", time.Minute, func(s wire.StatusBody) bool { return s.Leader == "c2" || s.Leader == "c3" })
		if took > 20*time.Second {
			t.Errorf("c1 led for %v on battery, want 20s at most", took)
		}
		if err := rest.Change(time.Second); err != nil {
			t.Errorf("a change afterwards: %v", err)
		}
		n, err := rest.Node(t.Context(), "c1")
		if err != nil || n.Power.Source != fleet.Battery {
			t.Errorf("c1 shows %+v, %v, want that its host is on battery", n.Power, err)
		}
		time.Sleep(time.Minute)
		if s := f.WaitHealthy(3, 1); s.Leader == "c1" {
			t.Error("the lead went back to the one on battery")
		}
	})
}
