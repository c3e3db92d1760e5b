package run

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestLoopsWakeTogether starts loops at different times, which then tick in the same instants.
func TestLoopsWakeTogether(t *testing.T) {
	for name, shift := range map[string]time.Duration{"as it is": 0, "scattered": 137 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			phase.Store(int64(shift))
			defer phase.Store(0)
			synctest.Test(t, func(t *testing.T) {
				const every = 200 * time.Millisecond
				instants := map[time.Time]int{}
				var at []time.Time
				for _, late := range []time.Duration{0, 10 * time.Millisecond, 70 * time.Millisecond, 199 * time.Millisecond} {
					from := time.Now()
					time.Sleep(late)
					for range 5 {
						d := Due(every)
						if d < every/4 || d > every+every/4 {
							t.Fatalf("%v after the start the next look is in %v", late, d)
						}
						time.Sleep(d)
						at = append(at, time.Now())
					}
					time.Sleep(2*time.Second - time.Since(from))
				}
				for _, i := range at {
					instants[time.Time{}.Add(time.Duration((i.UnixNano()+int64(shift))%int64(every)))]++
				}
				if len(instants) != 1 {
					t.Errorf("the loops look at %d places of the grid", len(instants))
				}
			})
		})
	}
}

// TestClockBeingAdjusted has a loop wake a moment before its instant.
func TestClockBeingAdjusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(999 * time.Millisecond)
		if d := Due(time.Second); d != time.Second+time.Millisecond {
			t.Errorf("it looks again in %v", d)
		}
	})
}

// TestAlign moves the grid of a process that has one of its own, and no other.
func TestAlign(t *testing.T) {
	defer scattered.Store(false)
	defer phase.Store(0)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(61 * time.Millisecond)
		ticks := time.Now()
		Align(ticks)
		if d := Due(200 * time.Millisecond); d != 139*time.Millisecond {
			t.Errorf("a process without a grid of its own looks in %v", d)
		}
		Scatter()
		Align(ticks)
		time.Sleep(20 * time.Millisecond)
		for _, every := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond, time.Second} {
			if d := Due(every); d != every-20*time.Millisecond {
				t.Errorf("20 ms after the tick, what looks each %v looks in %v", every, d)
			}
		}
	})
}

func TestScatter(t *testing.T) {
	defer scattered.Store(false)
	defer phase.Store(0)
	seen := map[int64]bool{}
	for range 3 {
		Scatter()
		seen[phase.Load()] = true
	}
	if len(seen) < 2 {
		t.Error("each process has the same grid")
	}
}
