// Package sinks copies the durable history to systems of others: a database, a
// message queue.
//
// A Feed reads the history of the coordinator that leads, in its order, behind the
// ingest and never in its way, and hands batches to a Sink. Its cursor moves after
// the sink has said that it has the rows, so each row arrives at least once; a sink
// that can tells doubles by node, boot, stream and sequence. While the sink is away
// the feed tries on, up to a minute apart, and the history keeps what it keeps: rows
// that fall out of it before the sink is back are lost to the sink, counted and told
// of.
//
// The other coordinators follow: each has the same rows in a log of its own. The
// leader reads all those logs into its own, so it knows up to where in each of them
// the sink has everything, and says so; the others move their cursors there, and the
// next leader goes on where the last one was a moment ago.
package sinks

import (
	"context"
	"errors"

	"primespark/coordinator/history"
)

// A Source is the history of this coordinator.
type Source interface {
	// After returns the rows that come after number n, oldest first, at most so many.
	After(n uint64, most int) ([]history.Row, error)
	// First is the number of the oldest row that After still has; 0 if there never was one.
	First() uint64
	// Last is the number of the newest row, with a channel that closes when there is a newer one.
	Last() (n uint64, changed <-chan struct{})
	// Cursor is the number that SetCursor was last given for a name; 0 if none.
	Cursor(name string) (uint64, error)
	SetCursor(name string, n uint64) error
	// Logs is how far the logs of other coordinators were read into this one, by their ids.
	Logs() map[string]uint64
}

// A Sink takes rows. Write returns nil once the sink has them for good. It may
// get the same rows again. An error that is ErrRejected is about the rows: they
// will never be taken; any other is about the sink, and they are sent again.
type Sink interface {
	Write(ctx context.Context, rows []history.Row) error
	Close() error
}

var _ Source = (*history.Store)(nil)

// ErrRejected is what Write's error is when the rows, not the sink, are at fault.
var ErrRejected = errors.New("the sink rejects the rows")
