package run

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// phase shifts the grid of Due, in nanoseconds.
var phase atomic.Int64

// scattered says that the grid is this process's own.
var scattered atomic.Bool

// Scatter gives this process a grid of its own for Due, so that hosts whose clocks
// agree do not all speak in the same instant. A program calls it once, when it starts.
func Scatter() {
	phase.Store(rand.Int64N(int64(time.Minute)))
	scattered.Store(true)
}

// Align moves the grid to where something ticks that cannot follow it, such as a library's
// own ticker that was made at that instant. It does nothing in a process that has no grid
// of its own. Loops that wait already follow from their next wait on.
func Align(to time.Time) {
	if scattered.Load() {
		phase.Store(int64(time.Minute) - to.UnixNano()%int64(time.Minute))
	}
}

// Due is the time until a loop that looks each so often looks next: until the next
// multiple of every, of which all loops of the process have the same. What looks
// together wakes the processor once; on a node at rest it is waking up, and not the
// work, that takes the processor's time. It is at least a quarter of every, so that
// a clock that is being adjusted makes no look twice, and at most five quarters.
func Due(every time.Duration) time.Duration {
	d := every - time.Duration((time.Now().UnixNano()+phase.Load())%int64(every))
	if d < every/4 {
		d += every
	}
	return d
}
