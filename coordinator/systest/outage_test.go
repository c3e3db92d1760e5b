package systest_test

import (
	"testing"
	"time"

	agentconfig "primespark/agent/config"
	"primespark/coordinator/systest"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// outage gives an agent a battery whose mains are lost after a while.
func outage(after time.Duration, charge float64) func(*agentconfig.Config) {
	return func(c *agentconfig.Config) {
		c.Battery.Source = "sim"
		c.Battery.Script = []agentconfig.Point{{Mains: true, SoC: charge, Load: 5}, {T: conf.Duration(after), Mains: false, SoC: charge, Load: 5}}
	}
}

// TestRouteFollowsPower measures how long after the loss of its mains a node gets
// less work: 5 s at most.
func TestRouteFollowsPower(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		f.TuneAgent("pi-1", outage(time.Minute, 0.9))
		lost := time.Now().Add(time.Minute)
		f.WaitHealthy(1, 2)
		client := f.Via("c1")
		defer client.Close()
		pi1 := func() (found wire.Candidate) {
			r, err := client.Route(t.Context(), "blazeface")
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.Candidates {
				if c.Node == "pi-1" {
					found = c
				}
			}
			return found
		}
		time.Sleep(time.Until(lost))
		if c := pi1(); c.Terms["power"] != 1 {
			t.Fatalf("on mains the power counts %v times", c.Terms["power"])
		}
		for pi1().Terms["power"] == 1 {
			time.Sleep(50 * time.Millisecond)
			if time.Since(lost) > time.Minute {
				t.Fatal("the route never noticed")
			}
		}
		took := time.Since(lost)
		if took > 5*time.Second {
			t.Errorf("the first other decision came %v after the mains were lost, want 5s at most", took)
		}
		t.Logf("the first other decision came %v after the mains were lost", took)
		c := pi1()
		if c.Terms["power"] < 3 || c.Terms["state_of_charge"] < 0.8 || c.Terms["state_of_charge"] > 0.9 {
			t.Errorf("explained as %+v", c)
		}
		if n, err := client.Node(t.Context(), "pi-1"); err != nil || n.Power.State != fleet.PowerOnBattery {
			t.Errorf("pi-1 shows %+v, %v", n.Power, err)
		}
	})
}
