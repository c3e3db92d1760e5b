package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"primespark/agent/outbox"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// given is what a courier gives, by stream.
func given(t *testing.T, c *outbox.Courier) string {
	t.Helper()
	all, err := c.Next(1000)
	if err != nil {
		t.Fatal(err)
	}
	n := map[telemetry.Stream]int{}
	for _, e := range all {
		n[e.Stream]++
	}
	return fmt.Sprint(n)
}

// TestHeldBack: while samples are held back only those of the battery go, once a minute,
// and afterwards all others, whichever courier it is and however many they are.
func TestHeldBack(t *testing.T) {
	for name, courier := range map[string]func(*lab) *outbox.Courier{
		"the newest and the oldest": func(l *lab) *outbox.Courier { return l.Courier() },
		"in order":                  func(l *lab) *outbox.Courier { return l.InOrder() },
	} {
		for _, backlog := range []int{10, 700} {
			t.Run(fmt.Sprintf("%s, %d wait", name, backlog), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					hold := watch.New(true)
					l := open(t, t.TempDir(), func(c *outbox.Config) { c.Hold = hold })
					defer l.stop()
					l.keep(1, "cpu", backlog)
					l.keep(1, "battery", 3)
					l.keep(1, "power", 2)
					time.Sleep(2 * time.Second)
					c := courier(l)
					expect(t, "held back", given(t, c), "map[battery:3 power:2]")
					l.acknowledge(1, "battery", 3)
					l.keep(1, "battery", 1)
					l.keep(1, "cpu", 1)
					time.Sleep(30 * time.Second)
					expect(t, "within the minute", given(t, c), "map[]")
					time.Sleep(31 * time.Second)
					expect(t, "a minute later", given(t, c), "map[battery:1]")
					if left, err := c.Left(); err != nil || backlog == 10 && !left {
						t.Errorf("power was given and not acknowledged: left %v, %v", left, err)
					}
					_, freed := l.Held()
					hold.Store(false)
					<-freed
					expect(t, "let go", given(t, c), fmt.Sprintf("map[battery:1 cpu:%d power:2]", backlog+1))
					expect(t, "and then", given(t, c), "map[]")
					hold.Store(true)
					expect(t, "held back anew", given(t, c), "map[battery:1 power:2]") // not acknowledged
				})
			})
		}
	}
}
