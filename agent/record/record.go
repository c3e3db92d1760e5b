// Package record is where each fact that this node measures goes.
//
// A Recorder numbers samples, keeps the newest of every stream for those who
// want to know how things are, and a bounded number of samples for the uplink,
// which sends them to the broker. They are kept in memory only: a restart loses
// what was not sent, and a broker that is away for longer than the memory lasts
// loses the oldest. The sequence shows such a gap to the receiver.
package record

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// streamsMost bounds the streams of a node. There are eleven in the contract.
const streamsMost = 64

// A Recorder is safe to share.
type Recorder struct {
	boot   int64
	keep   int
	into   Keeper
	newest *watch.Value[telemetry.Newest]

	mu      sync.Mutex
	streams map[telemetry.Stream]*ring
}

// A Keeper keeps samples until they are stored elsewhere. It never waits.
type Keeper interface{ Keep(telemetry.Sample) }

// New returns a recorder of a process that started at boot, which keeps that
// many samples of each stream, at least one. Keeper may be nil.
func New(boot time.Time, keep int, into Keeper) *Recorder {
	return &Recorder{
		boot: boot.UnixMilli(), keep: max(1, keep), into: into, newest: watch.New(telemetry.Newest{}),
		streams: map[telemetry.Stream]*ring{},
	}
}

// Record takes a value measured now. It fails, and keeps nothing, when the
// stream has no valid name, is one too many, or the value cannot travel.
func (r *Recorder) Record(stream telemetry.Stream, v telemetry.Value) error {
	if err := v.Check(); err != nil {
		return fmt.Errorf("record %s: %w", stream, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	ring, err := r.ring(stream)
	if err != nil {
		return err
	}
	ring.seq++
	s := telemetry.Sample{Boot: r.boot, Stream: stream, Seq: ring.seq, At: time.Now().UTC().Truncate(time.Millisecond), Value: v}
	ring.add(s)
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

func (r *Recorder) ring(stream telemetry.Stream) (*ring, error) {
	if got := r.streams[stream]; got != nil {
		return got, nil
	}
	if !stream.Valid() || len(r.streams) >= streamsMost {
		return nil, fmt.Errorf("record %q: no valid name, or more than %d streams", stream, streamsMost)
	}
	made := &ring{samples: make([]telemetry.Sample, 0, min(r.keep, 64)), keep: r.keep}
	r.streams[stream] = made
	return made, nil
}

// Newest returns the newest sample of every stream, and wakes who waits for
// newer ones.
func (r *Recorder) Newest() *watch.Value[telemetry.Newest] { return r.newest }

// Streams returns the streams that have samples, sorted.
func (r *Recorder) Streams() []telemetry.Stream {
	return slices.Sorted(maps.Keys(r.newest.Get()))
}

// After returns the oldest samples of a stream that are kept and come after
// seq, at most so many.
func (r *Recorder) After(stream telemetry.Stream, seq uint64, most int) []telemetry.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ring := r.streams[stream]; ring != nil {
		return ring.after(seq, most)
	}
	return nil
}

// A ring keeps the last samples of one stream, whose sequence has no gaps.
type ring struct {
	samples []telemetry.Sample // grows to keep, then goes round
	keep    int
	start   int // index of the oldest
	seq     uint64
}

func (r *ring) add(s telemetry.Sample) {
	if len(r.samples) < r.keep {
		r.samples = append(r.samples, s)
		return
	}
	r.samples[r.start] = s
	r.start = (r.start + 1) % r.keep
}

func (r *ring) after(seq uint64, most int) []telemetry.Sample {
	if seq >= r.seq {
		return nil
	}
	oldest := r.seq - uint64(len(r.samples)) + 1
	from := max(seq+1, oldest)
	n := min(int(r.seq-from)+1, most)
	out := make([]telemetry.Sample, 0, n)
	for i := range n {
		out = append(out, r.samples[(r.start+int(from-oldest)+i)%len(r.samples)])
	}
	return out
}
