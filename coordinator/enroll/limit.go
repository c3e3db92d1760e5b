package enroll

import (
	"sync"
	"time"
)

// How many wrong join codes an address may send, and how many addresses are
// remembered: with more, all share what is left until the next minute.
const (
	maxWrong  = 10
	window    = time.Minute
	maxRemote = 4096
)

// A limiter counts tries by address, a minute at a time. A try is counted before
// it is looked at and given back if it was right, so that many at once do not
// slip through.
type limiter struct {
	mu    sync.Mutex
	since time.Time
	tries map[string]int
}

// take counts a try and reports whether it may be looked at.
func (l *limiter) take(remote string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tries == nil || now.Sub(l.since) >= window {
		l.since, l.tries = now, map[string]int{}
	}
	if _, known := l.tries[remote]; !known && len(l.tries) >= maxRemote {
		return false
	}
	l.tries[remote]++
	return l.tries[remote] <= maxWrong
}

// give takes a try back.
func (l *limiter) give(remote string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tries[remote] > 0 {
		l.tries[remote]--
	}
}
