package run

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// phase shifts the grid of Due, in nanoseconds.
var phase atomic.Int64

// Scatter gives this process a grid of its own for Due, so that hosts whose clocks
// agree do not all speak in the same instant. A program calls it once, when it starts.
func Scatter() { phase.Store(rand.Int64N(int64(time.Minute))) }

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
