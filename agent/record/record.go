// Package record is where each fact that this node measures goes.
//
// A Recorder numbers samples, keeps the newest of every stream for those who
// want to know how things are, and hands each one to the outbox, in which it waits
// until it is stored elsewhere.
package record

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"primespark/shared/clock"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// streamsMost bounds the streams of a node. There are eleven in the contract.
const streamsMost = 64

// A Recorder is safe to share.
type Recorder struct {
	boot   int64
	into   Keeper
	clock  *clock.Clock
	newest *watch.Value[telemetry.Newest]

	mu   sync.Mutex
	seqs map[telemetry.Stream]uint64 // of the newest sample
}

// A Keeper keeps samples until they are stored elsewhere. It never waits.
type Keeper interface{ Keep(telemetry.Sample) }

// New returns a recorder of a process that started at boot and believes its clock.
// Keeper may be nil.
func New(boot time.Time, into Keeper) *Recorder { return ByClock(boot, into, nil) }

// ByClock returns one that marks what is measured while the clock is not set.
func ByClock(boot time.Time, into Keeper, c *clock.Clock) *Recorder {
	return &Recorder{boot: boot.UnixMilli(), into: into, clock: c, newest: watch.New(telemetry.Newest{}), seqs: map[telemetry.Stream]uint64{}}
}

// Record takes a value measured now. It fails, and keeps nothing, when the
// stream has no valid name, is one too many, or the value cannot travel.
func (r *Recorder) Record(stream telemetry.Stream, v telemetry.Value) error {
	if err := v.Check(); err != nil {
		return fmt.Errorf("record %s: %w", stream, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.seqs[stream]; !known && (!stream.Valid() || len(r.seqs) >= streamsMost) {
		return fmt.Errorf("record %q: no valid name, or more than %d streams", stream, streamsMost)
	}
	r.seqs[stream]++
	at, unsynced := r.clock.Stamp()
	s := telemetry.Sample{Boot: r.boot, Stream: stream, Seq: r.seqs[stream], At: at.UTC().Truncate(time.Millisecond), Unsynced: unsynced, Value: v}
	if r.into != nil {
		r.into.Keep(s)
	}
	r.newest.Update(func(old telemetry.Newest) telemetry.Newest {
		now := maps.Clone(old)
		now[stream] = s
		return now
	})
	return nil
}

// Newest returns the newest sample of every stream, and wakes who waits for
// newer ones.
func (r *Recorder) Newest() *watch.Value[telemetry.Newest] { return r.newest }

// Streams returns the streams that have samples, sorted.
func (r *Recorder) Streams() []telemetry.Stream {
	return slices.Sorted(maps.Keys(r.newest.Get()))
}
