package liveness

import "time"

// A clock counts the time in which this process was awake: it goes on by what
// has passed between two looks, and by no more than two looks are apart. A
// coordinator that was stopped, or got no processor, so finds a moment missing,
// and not that everybody was silent meanwhile. The zero value is ready.
type clock struct {
	last  time.Time
	awake time.Duration
}

// look is how often it is looked at the clock and at everybody.
const look = 100 * time.Millisecond

// tick takes the time of a look, and returns the time awake.
func (c *clock) tick(now time.Time) time.Duration {
	if !c.last.IsZero() {
		c.awake += min(max(now.Sub(c.last), 0), 2*look)
	}
	c.last = now
	return c.awake
}
