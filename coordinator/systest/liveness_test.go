package systest_test

import (
	"context"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// liveness is how one coordinator sees a node, from its memory.
func liveness(t *testing.T, c *systest.Client, name string) wire.NodeBody {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c.Stale = true
	n, err := c.Node(ctx, name)
	if err != nil {
		t.Fatalf("look at %s: %v", name, err)
	}
	return n
}

// becomes waits until a coordinator sees a node so, and returns how long that took.
func becomes(t *testing.T, c *systest.Client, name string, want fleet.Liveness, limit time.Duration) time.Duration {
	t.Helper()
	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		is := liveness(t, c, name).Liveness
		if is == want {
			return time.Since(begin)
		}
		if !run.Sleep(ctx, 20*time.Millisecond) {
			t.Fatalf("%s is %s and not %s within %v", name, is, want, limit)
		}
	}
}

// known is how long a coordinator may take to see a node's end.
const known = 2 * time.Second

// TestDeathsAreKnown ends an agent in each way that there is: every coordinator
// knows within two seconds, the others stay alive, and it comes back.
func TestDeathsAreKnown(t *testing.T) {
	for name, end := range map[string]struct {
		how  func(*systest.Fleet, string)
		back func(*systest.Fleet, string)
	}{
		"killed":    {(*systest.Fleet).Crash, (*systest.Fleet).Revive},
		"unplugged": {(*systest.Fleet).Isolate, func(f *systest.Fleet, _ string) { f.Heal() }},
		"frozen":    {(*systest.Fleet).Freeze, func(f *systest.Fleet, _ string) { f.Heal() }},
	} {
		t.Run(name, func(t *testing.T) {
			systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
				time.Sleep(time.Minute)
				views := map[string]*systest.Client{}
				for _, c := range []string{"c1", "c2", "c3"} {
					views[c] = f.Via(c)
					defer views[c].Close()
				}
				begin := time.Now()
				end.how(f, "pi-1")
				for c, v := range views {
					becomes(t, v, "pi-1", fleet.Dead, known)
					if took := time.Since(begin); took > known {
						t.Errorf("%s saw it after %v", c, took)
					}
					route, err := v.Route(t.Context(), systest.Model)
					if err != nil || len(route.Candidates) != 1 || route.Candidates[0].Node != "pi-2" {
						t.Errorf("%s would ask %+v, %v", c, route.Candidates, err)
					}
				}
				t.Logf("dead in the eyes of all %v after its end", time.Since(begin))
				time.Sleep(time.Minute)
				for c, v := range views {
					if is := liveness(t, v, "pi-2").Liveness; is != fleet.Alive {
						t.Errorf("%s holds pi-2 for %s", c, is)
					}
				}
				end.back(f, "pi-1")
				for _, v := range views {
					becomes(t, v, "pi-1", fleet.Alive, time.Minute)
				}
			})
		})
	}
}

// TestStopIsNoDeath: an agent that is stopped says goodbye.
func TestStopIsNoDeath(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1")
		defer c.Close()
		f.Stop("pi-1")
		becomes(t, c, "pi-1", fleet.Left, known)
		f.Start("pi-1")
		becomes(t, c, "pi-1", fleet.Alive, 30*time.Second)
	})
}

// TestLinkIsDown cuts one link: that coordinator tells it from a death, and the
// other two go on with the agent.
func TestLinkIsDown(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		one, two := f.Via("c1"), f.Via("c2")
		defer one.Close()
		defer two.Close()
		f.Cut("c1", "pi-1")
		took := becomes(t, one, "pi-1", fleet.LinkDown, known)
		t.Logf("link down after %v", took)
		for range 60 {
			time.Sleep(time.Second)
			if is := liveness(t, one, "pi-1").Liveness; is != fleet.LinkDown {
				t.Fatalf("c1 holds pi-1 for %s", is)
			}
			if is := liveness(t, two, "pi-1").Liveness; is != fleet.Alive {
				t.Fatalf("c2 holds pi-1 for %s", is)
			}
		}
		if node, _, err := one.Photo(5 * time.Second); err != nil || node != "pi-2" {
			t.Errorf("photo through c1 by %s, %v", node, err)
		}
		f.Heal()
		becomes(t, one, "pi-1", fleet.Alive, 30*time.Second)
	})
}

// TestCutOffCoordinatorBlamesNobody: one that hears nobody takes it for its own
// link, at first.
func TestCutOffCoordinatorBlamesNobody(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1")
		defer c.Close()
		time.Sleep(time.Minute)
		f.CutOff("c1")
		begin := time.Now()
		for range 8 {
			time.Sleep(time.Second)
			for _, name := range []string{"pi-1", "pi-2", "c2"} {
				if is := liveness(t, c, name).Liveness; is == fleet.Dead {
					t.Fatalf("c1 holds %s for dead after %v", name, time.Since(begin))
				}
			}
		}
		if is := liveness(t, c, "pi-1").Liveness; is != fleet.LinkDown {
			t.Errorf("c1 holds pi-1 for %s", is)
		}
		f.Heal()
		becomes(t, c, "pi-1", fleet.Alive, time.Minute)
	})
}

// TestTaskMovesFromTheDead: the task of a killed or unplugged agent runs on the
// other within five seconds, also if the leader dies in the same moment, and the
// healthy agent loses none of its leases.
func TestTaskMovesFromTheDead(t *testing.T) {
	for name, test := range map[string]struct {
		end    func(*systest.Fleet, string)
		leader bool // dies too
	}{
		"killed":                 {(*systest.Fleet).Crash, false},
		"unplugged":              {(*systest.Fleet).Unplug, false},
		"killed with leader":     {(*systest.Fleet).Crash, true},
		"unplugged, with leader": {(*systest.Fleet).Unplug, true},
	} {
		t.Run(name, func(t *testing.T) {
			systest.Test(t, 3, 3, func(t *testing.T, f *systest.Fleet) {
				status := f.WaitHealthy(3, 3)
				o := office{t, f.Via(others(status, status.Leader)...)}
				moving, staying := o.submit(noop(20*time.Second, "")), o.submit(noop(20*time.Second, ""))
				held, _ := o.until(moving.ID, "leased", 15*time.Second, leased)
				kept, _ := o.until(staying.ID, "leased", 15*time.Second, leased)
				time.Sleep(7 * time.Second) // both have renewed
				begin := time.Now()
				if test.leader {
					f.Crash(status.Leader)
				}
				test.end(f, held.Node)
				o.until(moving.ID, "with another", 15*time.Second, func(x task.Task) bool { return leased(x) && x.Node != held.Node })
				took := time.Since(begin)
				t.Logf("with another %v after the death", took)
				if took > 5*time.Second {
					t.Errorf("the task moved after %v, want 5s at most", took)
				}
				if got, _ := o.until(staying.ID, "done", time.Minute, ended); got.State != task.Done || got.Attempts != 1 || got.Lease != kept.Lease {
					t.Errorf("the healthy agent's task ended %s after %d attempts", got.State, got.Attempts)
				}
			})
		})
	}
}
