package agent

import (
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/sensors"
)

// TestCalm tells the fleet of small changes each 5 s, and of great ones at once.
func TestCalm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		warm, hot := 50.0, 55.0
		now := sensors.Figures{}
		told := calm(func() sensors.Figures { return now })
		for _, step := range []struct {
			what string
			host sensors.Figures
			wait time.Duration
			told bool
		}{
			{"the first", sensors.Figures{CPU: 0.1, Memory: 0.2, Temperature: &warm}, 0, true},
			{"a little busier", sensors.Figures{CPU: 0.3, Memory: 0.2, Temperature: &warm}, 500 * time.Millisecond, false},
			{"after 5 s", sensors.Figures{CPU: 0.31, Memory: 0.2, Temperature: &warm}, 4500 * time.Millisecond, true},
			{"at work", sensors.Figures{CPU: 0.9, Memory: 0.2, Temperature: &warm}, 500 * time.Millisecond, true},
			{"still at work", sensors.Figures{CPU: 0.91, Memory: 0.3, Temperature: &warm}, 4 * time.Second, false},
			{"a model came", sensors.Figures{CPU: 0.91, Memory: 0.6, Temperature: &warm}, 0, true},
			{"warmer", sensors.Figures{CPU: 0.91, Memory: 0.6, Temperature: &hot}, 0, true},
			{"the sensor fails", sensors.Figures{CPU: 0.91, Memory: 0.6}, 0, true},
			{"it works again", sensors.Figures{CPU: 0.91, Memory: 0.6, Temperature: &hot}, 0, true},
		} {
			time.Sleep(step.wait)
			now = step.host
			if got := told() == now; got != step.told {
				t.Errorf("%s: told %v, want %v", step.what, got, step.told)
			}
		}
	})
}
