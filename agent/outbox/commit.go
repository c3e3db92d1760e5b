package outbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// Why samples were dropped.
const (
	reasonFull = "full"
	reasonAge  = "age"
)

// trimPart is the part of the box that goes when the disk is full and memory too.
const trimPart = 10

// fullMost is how long a disk that is full is left alone.
const fullMost = 8 * time.Second

// plausible is the earliest time by which a sample can be too old: a clock that
// shows less was not set yet, and its samples are not old.
var plausible = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// Run commits until ctx ends, and then what is left. It returns an error for a
// file that is damaged, which the next process puts aside.
func (b *Box) Run(ctx context.Context) error {
	wait := time.Duration(0)
	for {
		due := time.NewTimer(run.Due(b.cfg.Every()))
		select {
		case <-due.C:
		case <-b.wake:
		case err := <-b.failed:
			due.Stop()
			return err
		case <-ctx.Done():
			due.Stop()
			b.try()
			return nil
		}
		due.Stop()
		if b.try() {
			wait = 0
			continue
		}
		// A disk that is full is not asked again 200 samples on, nor each second: all
		// that waits in memory is written each time.
		wait = min(max(2*wait, time.Second), fullMost)
		run.Sleep(ctx, wait)
	}
}

// try commits, and tells of a disk that does not take it.
func (b *Box) try() (done bool) {
	err := b.commit(0)
	if err != nil && b.memory() >= b.cfg.Memory/2 { // waiting has not helped: the oldest make room
		err = b.commit(b.size() / trimPart)
	}
	b.shed()
	b.show()
	if err == nil {
		if b.metrics.full.Swap(false) {
			b.cfg.Conditions.Clear(health.StorageFull)
			b.cfg.Log.Info("the outbox takes samples again")
		}
		return true
	}
	b.metrics.failures.Inc()
	if !b.metrics.full.Swap(true) {
		detail, remedy := "The disk does not take samples: "+err.Error()+".", "See that the disk is writable."
		if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
			detail, remedy = "The disk is full; samples wait in memory, and the oldest go when that is full too.", "Delete what is not needed on the disk under state_dir."
		}
		b.cfg.Log.Warn("samples wait in memory", "err", err, "remedy", remedy)
		b.cfg.Conditions.Set(health.StorageFull, health.Warning, detail, remedy)
	}
	return false
}

func (b *Box) size() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// A batch is one commit.
type batch struct {
	put     []telemetry.Sample
	lives   map[life]remnant // as they will be, where that changes
	first   uint64
	bytes   int64
	dropped int
}

// commit makes the samples that wait durable, drops what was acknowledged, and
// what the bounds leave no room for; and that many bytes besides.
func (b *Box) commit(besides int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.queue.Lock()
	put := b.pending[:len(b.pending):len(b.pending)]
	b.queue.Unlock()
	one := batch{put: put, lives: map[life]remnant{}, first: b.first, bytes: b.bytes}
	last := b.last.Get()
	if len(one.put) == 0 && !b.removable(now) && besides == 0 {
		return nil
	}
	err := b.db.Update(func(tx *bbolt.Tx) error {
		rows := tx.Bucket([]byte(bucketRows))
		rows.FillPercent = 1 // numbers only grow
		for i, s := range one.put {
			key := number(last + 1 + uint64(i))
			value := encode(key, s)
			one.bytes += int64(len(value)) + recordCost
			if err := rows.Put(key, value); err != nil {
				return err
			}
			b.life(s)
		}
		if err := b.remove(tx, &one, now, besides); err != nil {
			return err
		}
		return b.writeGaps(tx, one)
	})
	if err != nil {
		return fmt.Errorf("commit %d samples: %w", len(one.put), err)
	}
	b.queue.Lock()
	b.pending = b.pending[len(put):]
	if len(b.pending) == 0 {
		b.pending = nil // and the memory with it
	}
	b.queue.Unlock()
	b.first, b.bytes = one.first, one.bytes
	for k, r := range one.lives {
		*b.lives[k] = r
	}
	newest := last + uint64(len(one.put))
	b.forget(newest)
	b.metrics.commits.Inc()
	b.metrics.dropped.Add(float64(one.dropped))
	if one.dropped > 0 {
		b.cfg.Log.Warn("the oldest samples were dropped", "samples", one.dropped,
			"remedy", "see why nothing is acknowledged, or raise outbox.max_size and outbox.max_age")
	}
	if newest != last {
		b.last.Store(newest)
	}
	return nil
}

// removable reports whether a commit without samples would drop anything.
func (b *Box) removable(now time.Time) (yes bool) {
	for _, r := range b.lives {
		if r.acked >= r.first || r.gap != nil && r.acked >= r.gap.Seq {
			return true
		}
	}
	if b.first > b.last.Get() {
		return false
	}
	oldest, err := b.Read(b.first-1, 1)
	return err == nil && len(oldest) > 0 && b.tooOld(oldest[0].Sample, now)
}

func (b *Box) tooOld(s telemetry.Sample, now time.Time) bool {
	if s = b.mend(s); s.Unsynced != 0 && s.Boot != b.cfg.Boot {
		return false // nobody knows; the bound on the size is left
	}
	return s.At.After(plausible) && now.Sub(s.At) > b.cfg.MaxAge
}

// remove takes samples off the old end, as long as they are acknowledged, too old
// or too many.
func (b *Box) remove(tx *bbolt.Tx, one *batch, now time.Time, besides int64) error {
	allowed := b.cfg.MaxSize
	if besides > 0 {
		allowed = min(allowed, b.bytes-besides)
	}
	c := tx.Bucket([]byte(bucketRows)).Cursor()
	for k, v := c.First(); k != nil; k, v = c.First() {
		s, err := decode(k, v)
		if err != nil {
			return err
		}
		key := life{s.Boot, s.Stream}
		r, seen := one.lives[key]
		if !seen {
			r = *b.lives[key]
		}
		switch {
		case s.Seq <= r.acked:
		case b.tooOld(s, now):
			r.drop(s, reasonAge)
			one.dropped++
		case one.bytes > allowed:
			r.drop(s, reasonFull)
			one.dropped++
		default:
			return nil
		}
		r.first = s.Seq + 1
		one.lives[key] = r
		one.first = binary.BigEndian.Uint64(k) + 1
		one.bytes -= int64(len(v)) + recordCost
		if err := c.Delete(); err != nil {
			return err
		}
	}
	return nil
}

// drop puts a sample into the gap.
func (r *remnant) drop(s telemetry.Sample, reason string) {
	from := s.Seq
	if s.Gap != nil {
		from = s.Gap.From
	}
	if r.gap != nil && r.gap.Seq > r.acked {
		from = r.gap.Gap.From
	}
	r.gap = &telemetry.Sample{Boot: s.Boot, Stream: s.Stream, Seq: s.Seq, At: s.At, Gap: &telemetry.Gap{From: from, Reason: reason}}
}

// writeGaps writes the gaps that are new, and removes those that are settled.
func (b *Box) writeGaps(tx *bbolt.Tx, one batch) error {
	gaps := tx.Bucket([]byte(bucketGaps))
	for k, r := range b.lives {
		if changed, ok := one.lives[k]; ok {
			r = &changed
		}
		if r.gap == nil {
			continue
		}
		key := append(number(uint64(k.boot)), k.stream...)
		if r.acked >= r.gap.Seq {
			settled := *r
			settled.gap = nil
			one.lives[k] = settled
			if err := gaps.Delete(key); err != nil {
				return err
			}
			continue
		}
		if _, changed := one.lives[k]; !changed {
			continue
		}
		if err := gaps.Put(key, encode(key, *r.gap)); err != nil {
			return err
		}
	}
	return nil
}

// forget drops lives of which nothing is left: all before the newest process's.
func (b *Box) forget(newest uint64) {
	if b.first <= newest {
		return // something waits, and may be of any life
	}
	var boot int64
	for k := range b.lives {
		boot = max(boot, k.boot)
	}
	for k, r := range b.lives {
		if k.boot != boot && r.gap == nil {
			delete(b.lives, k)
		}
	}
}

// shed bounds what waits in memory for a disk with room. What goes is told by a
// gap in its place.
func (b *Box) shed() {
	b.queue.Lock()
	defer b.queue.Unlock()
	over := len(b.pending) - b.cfg.Memory
	if over <= 0 {
		return
	}
	over += b.cfg.Memory / trimPart
	gaps := map[life]*remnant{}
	var order []life
	for _, s := range b.pending[:over] {
		k := life{s.Boot, s.Stream}
		if gaps[k] == nil {
			gaps[k] = &remnant{}
			order = append(order, k)
		}
		gaps[k].drop(s, reasonFull)
	}
	kept := make([]telemetry.Sample, 0, len(order)+len(b.pending)-over)
	for _, k := range order {
		kept = append(kept, *gaps[k].gap)
	}
	b.pending = append(kept, b.pending[over:]...)
	b.metrics.dropped.Add(float64(over))
}

// show keeps the figures.
func (b *Box) show() {
	b.metrics.waiting.Set(float64(b.Waiting()))
	b.metrics.bytes.Set(float64(b.size()))
}
