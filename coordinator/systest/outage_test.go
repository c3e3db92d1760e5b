package systest_test

import (
	"slices"
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

// TestSiteGoesDownInOrder: the whole site is on battery and its most valuable node is
// low. The others go before it, the least valuable first, though their own batteries
// would last; when the mains return, they wait for it.
func TestSiteGoesDownInOrder(t *testing.T) {
	systest.Test(t, 1, 3, func(t *testing.T, f *systest.Fleet) {
		charges := map[string]float64{"pi-1": 0.5, "pi-2": 0.6, "pi-3": 0.7}
		names := []string{"pi-1", "pi-2", "pi-3"}
		for _, name := range names {
			f.TuneAgent(name, func(c *agentconfig.Config) {
				c.Site = "barn"
				outage(20*time.Second, charges[name])(c)
				c.Power.Thresholds.LowVolts, c.Power.Timing.Grace = 3.45, conf.Duration(30*time.Second)
				if name == "pi-3" {
					c.Power.Thresholds.Low = 0.75 // its battery is the fullest, and low all the same
				}
			})
		}
		f.WaitHealthy(1, 3)
		client := f.Via("c1")
		defer client.Close()
		var gone []string
		for begun := time.Now(); len(gone) < 2; time.Sleep(time.Second) {
			for _, name := range names {
				n, err := client.Node(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(gone, name) && n.Liveness != fleet.Alive {
					gone = append(gone, name)
				}
			}
			if time.Since(begun) > 10*time.Minute {
				t.Fatalf("after %v only %v have gone; log:\n%s", time.Since(begun), gone, f.Log())
			}
		}
		if !slices.Equal(gone, []string{"pi-1", "pi-2"}) {
			t.Errorf("they went in the order %v", gone)
		}
		time.Sleep(time.Minute)
		if n, err := client.Node(t.Context(), "pi-3"); err != nil || n.Power.State != fleet.PowerLow || n.Liveness != fleet.Alive {
			t.Errorf("the last one is %s, %+v, %v", n.Liveness, n.Power, err)
		}

		mains := func(c *agentconfig.Config) {
			c.Site, c.Battery.Source = "barn", "sim"
			c.Battery.Script = []agentconfig.Point{{Mains: true, SoC: 0.9, Load: 5}}
		}
		reasons := func(name string) []string {
			n, err := client.Node(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return n.Reasons
		}
		f.TuneAgent("pi-1", mains)
		time.Sleep(20 * time.Second)
		if got := reasons("pi-1"); !slices.Contains(got, "waiting") {
			t.Errorf("the first to go is back before the others: %v", got)
		}
		f.TuneAgent("pi-2", mains)
		time.Sleep(20 * time.Second)
		if one, two := reasons("pi-1"), reasons("pi-2"); slices.Contains(one, "waiting") || slices.Contains(two, "waiting") {
			t.Errorf("all are back, and they wait on: %v, %v", one, two)
		}
	})
}
