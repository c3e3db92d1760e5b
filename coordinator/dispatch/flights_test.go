package dispatch

import (
	"math"
	"testing"
	"time"

	"primespark/shared/fleet"
)

// TestOthers tells the requests of others at an agent from those that were sent from
// here, by what it tells.
func TestOthers(t *testing.T) {
	var f flights
	now := time.Now()
	spoken := uint64(0)
	speak := func(load int) {
		spoken++
		f.observe(fleet.View{{Member: fleet.Member{Name: "pi-1"}, Liveness: fleet.Alive, Vital: fleet.Vital{Node: "pi-1", Seq: spoken, InFlight: 1, Queue: load - 1}}})
	}
	want := func(what string, n float64) {
		t.Helper()
		if got := f.others(now)["pi-1"]; math.Abs(got-n) > 1e-9 {
			t.Errorf("%s: %v of others, want %v", what, got, n)
		}
	}
	speak(5)
	want("nothing sent from here", 5)
	one, two := f.start("pi-1", func(error) {}), f.start("pi-1", func(error) {})
	want("it has not spoken since", 5)
	speak(7)
	want("two of seven are ours", 5)
	one()
	two()
	want("ours are answered", 5)
	speak(10)
	want("a moment of ten", 6)
	f.refused("pi-1", now)
	want("it has refused one", 6+fullBy)
	now = now.Add(fullFor)
	want("a while ago", 6)
	f.observe(nil)
	if got := f.others(now); len(got) != 0 {
		t.Errorf("of an agent that is gone: %v", got)
	}
}
