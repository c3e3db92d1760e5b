package batterytest

import (
	"context"
	"sync"
)

// A Line is a power-loss line made of memory. It is safe to share.
type Line struct {
	mu  sync.Mutex
	on  bool
	err error
}

// Set has the line say whether the mains are there, or fail.
func (l *Line) Set(on bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.on, l.err = on, err
}

// Present says what Set told it to.
func (l *Line) Present(context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.on, l.err
}
