// Package outbox keeps the samples of this node on disk until somebody has
// acknowledged that they are stored elsewhere.
//
// Keep takes a sample without waiting for the disk; a commit each second, or each
// 200 samples, makes those that came durable, and drops in the same transaction
// what was acknowledged: a card bears a certain number of writes. What was not
// committed when the power went is lost, and nothing else.
//
// The box has a bound in bytes and in age. Beyond it the oldest samples go, and a
// gap takes their place, so that the receiver is told which are missing and why.
// A full disk loses nothing at first: samples wait in memory for room. A file
// that is damaged is put aside when the box is opened, and a new one begun.
package outbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/bbolt"

	"primespark/shared/boltfile"
	"primespark/shared/clock"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// Config bounds what waits.
type Config struct {
	Dir        string
	MaxSize    int64                // bytes of samples on disk
	MaxAge     time.Duration        // of a sample
	Every      func() time.Duration // from a sample to its commit, at most
	Memory     int                  // samples that wait in memory for a disk with room; 0: half an hour of ten a second
	Hold       *watch.Value[bool]   // whether all but the urgent samples stay here for now; nil: never
	Conditions *health.Registry     // told of a full disk and of damage

	// Clock mends the times of samples of this process, which began at Boot (Unix ms),
	// that were taken before the clock was set; nil: none.
	Clock *clock.Clock
	Boot  int64

	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
}

const (
	fileName   = "outbox.db"
	bucketRows = "rows" // number u64 -> sample
	bucketGaps = "gaps" // boot u64, stream -> the sample that tells the gap

	commitMost = 200     // samples that wait for a commit
	memoryMost = 20_000  // the default of Config.Memory
	recordCost = 16 + 12 // bytes that a record takes besides its content: in its page, key and checksum
)

// A life is one stream of one process.
type life struct {
	boot   int64
	stream telemetry.Stream
}

// A remnant is what there is of a life.
type remnant struct {
	first uint64            // all before was acknowledged, or is in the gap
	acked uint64            // all up to it may go
	gap   *telemetry.Sample // before first; nil if nothing was dropped
}

// An Entry is a sample that waits.
type Entry struct {
	N uint64 // its number in the box, in the order of commits
	telemetry.Sample
}

// A Box is safe to share. It commits while its Run runs.
type Box struct {
	cfg     Config
	db      *bbolt.DB
	metrics *metrics
	damaged string
	last    *watch.Value[uint64] // number of the newest sample on disk
	wake    chan struct{}        // 1 deep: commitMost samples wait
	failed  chan error           // 1 deep: a record was found damaged

	queue   sync.Mutex         // held for moments only: a sensor must not wait for the disk
	pending []telemetry.Sample // not committed yet, oldest first

	mu    sync.Mutex // held while the disk works; taken before queue
	lives map[life]*remnant
	first uint64 // number of the oldest sample on disk; last+1 if there is none
	bytes int64  // of the samples on disk
}

var _ run.Part = (*Box)(nil)

// Open opens the box in a directory, or makes one.
func Open(cfg Config) (*Box, error) {
	b := &Box{cfg: cfg, last: watch.New(uint64(0)), wake: make(chan struct{}, 1), failed: make(chan error, 1), lives: map[life]*remnant{}}
	if b.cfg.Memory == 0 {
		b.cfg.Memory = memoryMost
	}
	if b.cfg.Hold == nil {
		b.cfg.Hold = watch.New(false)
	}
	var err error
	if b.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	path := filepath.Join(cfg.Dir, fileName)
	buckets := []string{bucketRows, bucketGaps}
	b.db, err = boltfile.Open(path, buckets, b.take)
	if errors.Is(err, boltfile.ErrDamaged) {
		aside, moved := boltfile.Aside(path)
		if moved != nil {
			return nil, errors.Join(err, moved)
		}
		b.damaged = aside
		remedy := "Look after the SD card; the samples that waited in it are lost to the coordinators."
		cfg.Log.Error("the outbox is damaged, beginning a new one", "err", err, "aside", aside, "remedy", remedy)
		cfg.Conditions.Set(health.CorruptStore, health.Warning, "The file of samples that wait was damaged and lies in "+aside+"; a new one was begun.", remedy)
		clear(b.lives)
		b.first, b.bytes = 0, 0
		b.last.Store(0)
		b.db, err = boltfile.Open(path, buckets, b.take)
	}
	if err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	if b.first == 0 {
		b.first = b.last.Get() + 1
	}
	b.show()
	return b, nil
}

// Damaged returns where a damaged file was put when the box was opened; "" if it
// was whole.
func (b *Box) Damaged() string { return b.damaged }

// Close gives the file back. Run must have ended.
func (b *Box) Close() error { return b.db.Close() }

func (*Box) String() string { return "outbox" }

// take notes one record of the file while that is checked.
func (b *Box) take(bucket string, key, value []byte) (string, error) {
	s, err := decode(key, value)
	switch {
	case err != nil || bucket == bucketRows && len(key) != 8:
		return fmt.Sprintf("record %x of %s", key, bucket), errors.Join(err, errRecord)
	case bucket == bucketGaps:
		b.life(s).gap = &s
		return "", nil
	}
	n := binary.BigEndian.Uint64(key)
	if b.first == 0 {
		b.first = n
	}
	b.last.Store(n)
	b.bytes += int64(len(value)) + recordCost
	b.life(s)
	return "", nil
}

var errRecord = errors.New("no sample")

func decode(key, value []byte) (telemetry.Sample, error) {
	body, err := boltfile.Unseal(key, value)
	if err != nil {
		return telemetry.Sample{}, err
	}
	s, rest, err := telemetry.ReadBinary(body)
	if err == nil && len(rest) > 0 {
		err = errRecord
	}
	return s, err
}

func encode(key []byte, s telemetry.Sample) []byte {
	return boltfile.Seal(key, telemetry.AppendBinary(make([]byte, 4, 96), s))
}

// life returns the remnant that a sample belongs to. The first sample of a life
// that is seen is its oldest.
func (b *Box) life(s telemetry.Sample) *remnant {
	k := life{s.Boot, s.Stream}
	r := b.lives[k]
	if r == nil {
		r = &remnant{first: s.Seq}
		if s.Gap != nil {
			r.first = s.Gap.From
		}
		b.lives[k] = r
	}
	return r
}

// Keep takes a sample, to be committed soon. It never waits.
func (b *Box) Keep(s telemetry.Sample) {
	b.queue.Lock()
	defer b.queue.Unlock()
	b.pending = append(b.pending, s)
	if len(b.pending) < commitMost {
		return
	}
	select {
	case b.wake <- struct{}{}:
	default: // it is told already
	}
}

// Last returns the number of the newest sample on disk, and a channel that closes
// when there is a newer one.
func (b *Box) Last() (n uint64, changed <-chan struct{}) { return b.last.Load() }

// First returns the number of the oldest sample on disk; that of the newest, and
// one, if nothing waits.
func (b *Box) First() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first
}

// Read returns samples after number n, oldest first, at most so many. Only what
// is on disk is given away: a receiver must not know of samples that a power cut
// takes back.
func (b *Box) Read(n uint64, most int) (all []Entry, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketRows)).Cursor()
		for k, v := c.Seek(number(n + 1)); k != nil && len(all) < most; k, v = c.Next() {
			s, err := decode(k, v)
			if err != nil {
				return fmt.Errorf("sample %x of the outbox: %w", k, err)
			}
			all = append(all, Entry{binary.BigEndian.Uint64(k), b.mend(s)})
		}
		return nil
	})
	if err != nil {
		select {
		case b.failed <- err: // Run ends, and with it the process: the next one checks the file
		default:
		}
	}
	return all, err
}

// mend has the time of a sample by the clock as it goes now. One of an earlier process
// stays as it is: nobody knows by how much that clock was wrong.
func (b *Box) mend(s telemetry.Sample) telemetry.Sample {
	if s.Unsynced != 0 && s.Boot == b.cfg.Boot {
		s.At, s.Unsynced = b.cfg.Clock.Mend(s.At, s.Unsynced)
	}
	return s
}

// Lead returns what the receiver has to know of a stream before its samples: up to
// where all is settled, and which were dropped since; nothing for one that is new.
func (b *Box) Lead(boot int64, stream telemetry.Stream) (lead []telemetry.Sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.lives[life{boot, stream}]
	if r == nil {
		return nil
	}
	settled := max(r.first-1, r.acked)
	if r.gap != nil {
		settled = max(r.gap.Gap.From-1, r.acked)
	}
	if settled > 0 {
		lead = append(lead, telemetry.Sample{Boot: boot, Stream: stream, Seq: settled, At: time.Now().UTC(), Gap: &telemetry.Gap{From: 1, Reason: Settled}})
	}
	if r.gap != nil && r.gap.Seq > r.acked {
		lead = append(lead, *r.gap)
	}
	return lead
}

// Settled is the reason of a gap of which nothing is missing: it was acknowledged
// before.
const Settled = "settled"

// Acknowledge drops, with the next commit, what is stored elsewhere.
func (b *Box) Acknowledge(a telemetry.Ack) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for stream, seq := range a.Streams {
		if r := b.lives[life{a.Boot, stream}]; r != nil {
			r.acked = max(r.acked, seq)
		}
	}
}

// Acknowledged reports whether a sample that waits was acknowledged.
func (b *Box) Acknowledged(s telemetry.Sample) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.lives[life{s.Boot, s.Stream}]
	return r == nil || s.Seq <= r.acked
}

// Waiting is how many samples wait, those in memory included.
func (b *Box) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int(b.last.Get()+1-b.first) + b.memory()
}

// memory is how many samples wait for a commit.
func (b *Box) memory() int {
	b.queue.Lock()
	defer b.queue.Unlock()
	return len(b.pending)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
