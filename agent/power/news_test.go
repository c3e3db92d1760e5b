package power_test

import (
	"testing"
	"time"

	"primespark/agent/power"
	"primespark/shared/watch"
)

// TestDecidesAtOnce: what a sample says is in force in the moment in which it comes,
// and not a second later.
func TestDecidesAtOnce(t *testing.T) {
	var samples *watch.Value[int] // of the bubble
	play(t, t.TempDir(), "a", func(c *power.Config) {
		samples = watch.New(0)
		c.News = func() <-chan struct{} { _, news := samples.Load(); return news }
	}, func(s *scene) {
		for range 60 {
			pass(time.Second)
			samples.Store(0)
		}
		s.mode(power.Mains)
		s.say(false, 0.9, 4.05)
		var lost time.Time
		for range 10 {
			pass(700 * time.Millisecond)
			samples.Store(0)
			pass(0)
			if lost.IsZero() {
				lost = time.Now()
			}
			if s.part.Status().Get().Mode == power.OnBattery {
				if took := time.Since(lost); took > 3500*time.Millisecond {
					t.Errorf("it took %v from the first sample without mains, want 3 s and a sample at most", took)
				}
				return
			}
		}
		t.Error("it never decided")
	})
}
