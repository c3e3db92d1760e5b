package systest_test

import (
	"slices"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// others are the names of the coordinators besides one.
func others(s wire.StatusBody, but ...string) (names []string) {
	for _, c := range s.Coordinators {
		if !slices.Contains(but, c.Name) {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestLeaderDies: photos are answered all the while, and the others decide again
// within two seconds. The dead one comes back and catches up.
func TestLeaderDies(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		status := f.WaitHealthy(3, 2)
		leader := status.Leader
		c := f.Via(others(status, leader)...)
		defer c.Close()

		f.Kill(leader)
		if _, gateway, err := c.Photo(time.Second); err != nil || gateway == leader {
			t.Errorf("photo right after the leader's death: through %s, %v", gateway, err)
		}
		begin := time.Now()
		if err := c.Change(10 * time.Second); err != nil {
			t.Fatalf("change after the leader's death: %v", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("a change was accepted %v after the leader's death, want 2s at most", took)
		}

		f.Revive(leader)
		want, _ := c.Wait("there is a leader", time.Minute, func(s wire.StatusBody) bool { return s.Leader != "" })
		back := f.Via(leader)
		defer back.Close()
		got, _ := back.Wait("the dead one has caught up", time.Minute, func(s wire.StatusBody) bool { return s.AppliedIndex >= want.AppliedIndex })
		if got.AppliedIndex == want.AppliedIndex && got.StateChecksum != want.StateChecksum {
			t.Errorf("%s has another state at %d", leader, got.AppliedIndex)
		}
	})
}

// TestAgentDies: no photo fails, and the fleet soon knows. It comes back by itself.
func TestAgentDies(t *testing.T) {
	systest.Test(t, 3, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1", "c2", "c3")
		defer c.Close()
		f.Kill("pi-1")
		begin := time.Now()
		for range 10 {
			if node, _, err := c.Photo(5 * time.Second); err != nil || node != "pi-2" {
				t.Errorf("photo while pi-1 is dead: by %s, %v, want pi-2", node, err)
			}
		}
		c.Wait("the death is known", time.Minute, func(s wire.StatusBody) bool { return s.Summary.AgentsHealthy == 1 })
		took := time.Since(begin)
		t.Logf("known %v after the death", took)
		if took > 10*time.Second {
			t.Errorf("the death was known after %v, want 10s at most", took)
		}
		f.Revive("pi-1")
		c.Wait("it is back", time.Minute, func(s wire.StatusBody) bool { return s.Summary.AgentsHealthy == 2 })
	})
}

// TestPartitionHeals: a leader that is cut off decides nothing, the majority
// goes on, and after ten minutes, longer than memberlist remembers anybody, all
// find together again by themselves.
func TestPartitionHeals(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		status := f.WaitHealthy(3, 1)
		old := status.Leader
		rest := f.Via(others(status, old)...)
		defer rest.Close()
		f.Isolate(old)
		if err := rest.Change(10 * time.Second); err != nil {
			t.Fatalf("change by the majority: %v", err)
		}
		time.Sleep(10 * time.Minute)
		if err := rest.Change(10 * time.Second); err != nil {
			t.Fatalf("change by the majority after a while: %v", err)
		}
		want, _ := rest.Wait("the majority has a leader", time.Minute, func(s wire.StatusBody) bool { return s.Leader != "" && s.Leader != old })

		f.Heal()
		back := f.Via(old)
		defer back.Close()
		got, took := back.Wait("all are one again", 2*time.Minute, func(s wire.StatusBody) bool {
			return s.AppliedIndex >= want.AppliedIndex && s.Summary.AgentsHealthy == 1 && s.Mode == fleet.Normal
		})
		t.Logf("one again %v after the heal", took)
		if got.AppliedIndex == want.AppliedIndex && got.StateChecksum != want.StateChecksum {
			t.Errorf("%s has another state at %d", old, got.AppliedIndex)
		}
	})
}

// TestNoQuorum: with two of three coordinators gone nothing is decided, which is
// said with a remedy, and photos are answered all the same.
func TestNoQuorum(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c3")
		defer c.Close()
		f.Kill("c1")
		f.Kill("c2")
		c.Wait("the loss is known", time.Minute, func(s wire.StatusBody) bool { return s.Mode == fleet.Degraded })
		err := c.Change(20 * time.Second)
		if e := problem.Of(err); !slices.Contains([]problem.Code{problem.NoQuorum, problem.NoLeader}, e.Code) || e.Remedy == "" {
			t.Errorf("change without a quorum: %v (%s), want no_quorum with a remedy", err, e.Code)
		}
		if node, _, err := c.Photo(5 * time.Second); err != nil || node != "pi-1" {
			t.Errorf("photo without a quorum: by %q, %v", node, err)
		}
		f.Revive("c1")
		if err := c.Change(30 * time.Second); err != nil {
			t.Errorf("change with the quorum back: %v", err)
		}
	})
}

// TestDrain: a node that is drained gets no new work.
func TestDrain(t *testing.T) {
	systest.Test(t, 1, 2, func(t *testing.T, f *systest.Fleet) {
		c := f.Via("c1")
		defer c.Close()
		if _, err := c.NodeAction(t.Context(), "pi-1", wire.Drain); err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if node, _, err := c.Photo(5 * time.Second); err != nil || node != "pi-2" {
				t.Errorf("photo while pi-1 drains: by %s, %v, want pi-2", node, err)
			}
		}
	})
}
