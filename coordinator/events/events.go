// Package events is what happened, newest last: what was decided, out of the
// agreed state, and what this coordinator saw itself, such as a node that fell
// silent, a new leader or a lost quorum.
//
// Decisions have the same id on every coordinator; two coordinators may see and
// time the rest differently. The log is kept in memory, 2,000 events of it, and
// starts with the decisions that the state still has.
package events

import (
	"slices"

	"primespark/shared/watch"
	"primespark/shared/wire"
)

// Kept is how many events a Log remembers.
const Kept = 2000

// The severities of an event.
const (
	Info    = "info"
	Warning = "warning"
	Error   = "error"
)

// A Log holds the newest events in the order in which they came to be known
// here. It is safe to share.
type Log struct {
	all  *watch.Value[[]wire.Event]
	ring []wire.Event // of which the newest value is a window; under the lock of all
}

// NewLog returns an empty log.
func NewLog() *Log { return &Log{all: watch.New([]wire.Event(nil))} }

// Add appends events.
func (l *Log) Add(more ...wire.Event) {
	if len(more) == 0 {
		return
	}
	l.all.Update(func([]wire.Event) []wire.Event {
		// Those who hold older slices share the memory; what they see stays as it is.
		l.ring = append(l.ring, more...)
		l.ring = l.ring[max(0, len(l.ring)-Kept):]
		return slices.Clip(l.ring)
	})
}

// Load returns all events, oldest first, not to be changed, and a channel that
// closes when there is another.
func (l *Log) Load() ([]wire.Event, <-chan struct{}) { return l.all.Load() }

// After returns what came after the event of that id, oldest first, limit at
// most; for an empty id, the last ones. An id that is not known here, since it
// came from another coordinator or is of long ago, stands for its time.
func After(all []wire.Event, id string, limit int) []wire.Event {
	limit = max(limit, 0)
	if id == "" {
		return all[max(0, len(all)-limit):]
	}
	for i, e := range slices.Backward(all) {
		if e.ID == id {
			return all[i+1 : min(len(all), i+1+limit)]
		}
	}
	var later []wire.Event
	for _, e := range all {
		if e.ID > id && len(later) < limit {
			later = append(later, e)
		}
	}
	return later
}
