package infer

import (
	"sync/atomic"
	"time"
)

// A Mean is a moving mean of durations, in which the newest counts for a fifth.
// The zero value has seen nothing and is 0. It is safe to share.
type Mean struct {
	nanos atomic.Int64
}

// Add takes one more duration into the mean; the first one becomes it.
func (m *Mean) Add(d time.Duration) {
	for {
		old := m.nanos.Load()
		next := int64(d)
		if old != 0 {
			next = old + (int64(d)-old)/5
		}
		if m.nanos.CompareAndSwap(old, max(1, next)) {
			return
		}
	}
}

// Value is the mean, 0 before the first Add.
func (m *Mean) Value() time.Duration { return time.Duration(m.nanos.Load()) }
