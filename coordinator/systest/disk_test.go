package systest_test

import (
	"slices"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/wire"
)

// TestLeadersDiskHangs: its heartbeats would go on for ever, and nothing be
// decided; within five seconds another leads.
func TestLeadersDiskHangs(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		status := f.WaitHealthy(3, 1)
		leader := status.Leader
		c := f.Via(others(status, leader)...)
		defer c.Close()
		release := f.HangDisk(leader)
		defer release()
		_, took := c.Wait("another leads", time.Minute, func(s wire.StatusBody) bool { return s.Leader != "" && s.Leader != leader })
		t.Logf("another leads %v after the disk began to hang", took)
		if took > 5*time.Second {
			t.Errorf("another led after %v, want 5s at most", took)
		}
		if err := c.Change(5 * time.Second); err != nil {
			t.Errorf("change with the new leader: %v", err)
		}
		c.Wait("it shows why", time.Minute, shows(leader, "disk_stalled"))

		release()
		c.Wait("it is well again", time.Minute, shows(leader))
		back := f.Via(leader)
		defer back.Close()
		if err := back.Change(10 * time.Second); err != nil {
			t.Errorf("change through the one whose disk answers again: %v", err)
		}
	})
}

// TestLeadersDiskIsFull: it says so within five seconds, others lead, and it
// takes part again by itself once there is room.
func TestLeadersDiskIsFull(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		status := f.WaitHealthy(3, 1)
		leader := status.Leader
		all := f.Via("c1", "c2", "c3")
		defer all.Close()
		full := f.Via(leader)
		defer full.Close()
		f.FillDisk(leader, true)
		begin := time.Now()
		all.Wait("another leads", time.Minute, func(s wire.StatusBody) bool { return s.Leader != "" && s.Leader != leader })
		full.Wait("it says so", time.Minute, shows(leader, "storage_full"))
		ready, err := full.Ready(t.Context())
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("storage_full was said after %v, want 5s at most", took)
		}
		if err == nil && (ready.Ready || ready.Reasons[0].Code != "storage_full" || ready.Reasons[0].Remedy == "") {
			t.Errorf("/readyz = %+v, %v, want storage_full with a remedy", ready, err)
		}
		if err := full.Change(5 * time.Second); err != nil {
			t.Errorf("change through the full one: %v", err)
		}
		f.FillDisk(leader, false)
		full.Wait("it is well again", 15*time.Second, shows(leader))
		if ready, err := full.Ready(t.Context()); err != nil || !ready.Ready {
			t.Errorf("/readyz once there is room = %+v, %v", ready, err)
		}
	})
}

// shows reports whether a coordinator has these conditions and no others.
func shows(name string, conditions ...string) func(wire.StatusBody) bool {
	return func(s wire.StatusBody) bool {
		i := slices.IndexFunc(s.Coordinators, func(c wire.Coordinator) bool { return c.Name == name })
		return i >= 0 && slices.Equal(s.Coordinators[i].Conditions, conditions)
	}
}
