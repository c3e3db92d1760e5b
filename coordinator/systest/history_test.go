package systest_test

import (
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/telemetry"
	"primespark/shared/wire"
)

// TestHistory: what an agent measures comes to all coordinators, with no broker
// and nothing configured, whoever of them dies.
func TestHistory(t *testing.T) {
	systest.Test(t, 3, 1, func(t *testing.T, f *systest.Fleet) {
		begin := time.Now()
		f.Measure("pi-1", time.Second)
		memory := wire.TelemetryQuery{Node: "pi-1", Stream: telemetry.Memory, From: begin}
		have := func(least int, names ...string) {
			t.Helper()
			time.Sleep(5 * time.Second) // for the last commit and the others to follow
			for _, name := range names {
				rows, err := f.Samples(name, memory)
				if err != nil || len(rows) < least {
					t.Errorf("%v after the start %s has %d samples, want %d or more; %v", time.Since(begin), name, len(rows), least, err)
				}
			}
		}
		time.Sleep(30 * time.Second)
		have(30, "c1", "c2", "c3")

		leader := f.WaitHealthy(3, 1).Leader
		f.Kill(leader)
		time.Sleep(30 * time.Second)
		rest := []string{"c1", "c2", "c3"}
		for i, name := range rest {
			if name == leader {
				rest = append(rest[:i], rest[i+1:]...)
				break
			}
		}
		have(60, rest...)

		f.Revive(leader)
		time.Sleep(30 * time.Second)
		have(90, "c1", "c2", "c3")
	})
}

// TestHistoryOfACoordinatorThatIsLost: nothing that was acknowledged is lost with
// it, and a node whose samples nobody can store twice keeps them.
func TestHistoryOfACoordinatorThatIsLost(t *testing.T) {
	systest.Test(t, 2, 1, func(t *testing.T, f *systest.Fleet) {
		begin := time.Now()
		f.Measure("pi-1", time.Second)
		memory := wire.TelemetryQuery{Node: "pi-1", Stream: telemetry.Memory, From: begin}
		time.Sleep(20 * time.Second)
		f.Kill("c2")
		time.Sleep(5 * time.Minute)
		f.Revive("c2")
		time.Sleep(time.Minute)
		rows, err := f.Samples("c2", memory)
		if err != nil || len(rows) < 360 {
			t.Errorf("c2 has %d samples, want those of the 5 min without it, too; %v", len(rows), err)
		}
		f.Kill("c1")
		if rows, err := f.Samples("c2", memory); err != nil || len(rows) < 360 {
			t.Errorf("without c1, c2 has %d samples; %v", len(rows), err)
		}
		f.Revive("c1")
		f.WaitHealthy(2, 1)
	})
}
