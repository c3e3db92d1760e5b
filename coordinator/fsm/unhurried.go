package fsm

import (
	"io"
	"time"
)

// An unhurried writer rests after each piece as long as that took, 20 ms at most:
// a snapshot of a full queue is a second and more of work, and on a small host
// the writes beside it wait for the same processor and the same disk.
type unhurried struct {
	to   io.Writer
	last time.Time // when it went on
}

// longestRest bounds the effect of a piece that took long because others ran.
const longestRest = 20 * time.Millisecond

func (u *unhurried) Write(b []byte) (int, error) {
	n, err := u.to.Write(b)
	if !u.last.IsZero() {
		time.Sleep(min(time.Since(u.last), longestRest))
	}
	u.last = time.Now()
	return n, err
}
