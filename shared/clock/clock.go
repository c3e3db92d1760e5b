// Package clock tells how far the times of this process can be believed.
//
// A Pi without a battery for its clock boots in the past, measures, and learns the
// time later. A Clock counts the stretches in which nothing had set the clock, says of
// each time in which one it was taken, and mends it when the clock has jumped since:
// by as much as the clock did. It never waits and writes nothing.
package clock

import (
	"sync"
	"time"
)

// jump is what counts as a step of the clock; less is how NTP slews it, and the
// kernel's own unsteadiness.
const jump = 500 * time.Millisecond

// stretchesMost bounds the stretches of a process: a clock that is set again and again
// stays in the last one.
const stretchesMost = 1000

// A Clock is safe to share. One that is nil believes every time.
type Clock struct {
	read func() (wall time.Time, mono time.Duration)
	set  func() (bool, error)

	mu       sync.Mutex
	offset   time.Duration   // of the wall clock from the monotonic one, when last looked
	shifts   []time.Duration // by how much the clock has jumped since stretch i+1 ended
	within   bool            // the last stretch goes on
	jumped   time.Duration   // that Look has not told yet
	lastTime time.Time
}

// New returns a clock that reads the time by read, the wall clock and beside it one
// that never jumps, and asks set whether something keeps the wall clock right. It
// begins now.
func New(read func() (wall time.Time, mono time.Duration), set func() (bool, error)) *Clock {
	c := &Clock{read: read, set: set}
	wall, mono := read()
	c.offset = time.Duration(wall.UnixNano()) - mono
	c.look()
	return c
}

// Stamp is the time, and in which stretch of an unset clock that is, from 1; 0 if the
// clock is set.
func (c *Clock) Stamp() (at time.Time, unsynced uint32) {
	if c == nil {
		return time.Now(), 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	return c.lastTime, c.stretch()
}

// Mend returns what a time of this process would have been by the clock as it goes now,
// and what is left to be said of it: 0 once the clock is set.
func (c *Clock) Mend(at time.Time, unsynced uint32) (time.Time, uint32) {
	if c == nil || unsynced == 0 {
		return at, unsynced
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	if int(unsynced) > len(c.shifts) {
		return at, unsynced // of another process
	}
	return at.Add(c.shifts[unsynced-1]), c.stretch()
}

// Look reports whether something keeps the clock right, and by how much it has jumped
// since the last look.
func (c *Clock) Look() (synced bool, jumped time.Duration) {
	if c == nil {
		return true, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.look()
	jumped, c.jumped = c.jumped, 0
	return c.stretch() == 0, jumped
}

// stretch is the one that goes on; 0 if the clock is set. It wants mu held.
func (c *Clock) stretch() uint32 {
	if !c.within {
		return 0
	}
	return uint32(len(c.shifts))
}

// look follows the clock. It wants mu held, save in New.
func (c *Clock) look() {
	wall, mono := c.read()
	c.lastTime = wall
	now := time.Duration(wall.UnixNano()) - mono
	by := now - c.offset
	if by >= jump || by <= -jump {
		for i := range c.shifts {
			c.shifts[i] += by
		}
		c.jumped += by
		c.within = false // another one begins, if it is still not set
	}
	c.offset = now
	set, err := c.set()
	switch {
	case err != nil || set: // a kernel that does not tell is no reason to doubt
		c.within = false
	case !c.within:
		c.within = true
		if len(c.shifts) < stretchesMost {
			c.shifts = append(c.shifts, 0)
		}
	}
}
