// Package watch shares one changing value with many readers.
package watch

import (
	"context"
	"sync"
)

// A Value holds the newest T. Writers replace it; readers take it whole and
// wait for the next one. A slow reader skips to the newest value: it never
// holds a writer up, and it never works through a backlog.
//
// A T that is stored is never changed again.
type Value[T any] struct {
	mu   sync.Mutex
	v    T
	next chan struct{}
}

// New returns a Value that holds v.
func New[T any](v T) *Value[T] { return &Value[T]{v: v, next: make(chan struct{})} }

// Load returns the newest value, and a channel that closes when there is a
// newer one.
func (w *Value[T]) Load() (T, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.v, w.next
}

// Store replaces the value and wakes the readers.
func (w *Value[T]) Store(v T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.v = v
	close(w.next)
	w.next = make(chan struct{})
}

// Get returns the newest value.
func (w *Value[T]) Get() T {
	v, _ := w.Load()
	return v
}

// Update replaces the value by what change makes of it. change runs under the
// lock: it returns a new value and leaves the old one as it is.
func (w *Value[T]) Update(change func(T) T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.v = change(w.v)
	close(w.next)
	w.next = make(chan struct{})
}

// Until waits until ok holds of the value and returns it, or ctx's error.
func (w *Value[T]) Until(ctx context.Context, ok func(T) bool) (T, error) {
	for {
		v, changed := w.Load()
		if ok(v) {
			return v, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return v, ctx.Err()
		}
	}
}
