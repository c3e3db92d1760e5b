package disk

import (
	"math"
	"slices"
	"time"
)

// A Latency is how long a disk takes to make a write last.
type Latency struct {
	P50, P99 time.Duration
	Count    int // of writes that it was measured by; 0 if none succeeded
}

// How much Measure measures.
const (
	measureMost = 100
	measureTime = time.Second
)

// Measure has d make up to 100 writes last, one after the other, and stops after
// about a second. A write that has not come back by then counts for as long as
// it was waited for.
func Measure(d Disk) Latency {
	took := make(chan time.Duration, measureMost)
	end := time.Now().Add(measureTime)
	go func() { // ends when the disk answers, after which nobody waits for it
		defer close(took)
		for range measureMost {
			start := time.Now()
			if d.Sync() != nil {
				return // the watchdog will tell
			}
			took <- time.Since(start)
			if time.Now().After(end) {
				return
			}
		}
	}()
	var all []time.Duration
	last := time.Now()
	late := time.NewTimer(measureTime + measureTime/10)
	defer late.Stop()
	for {
		select {
		case one, more := <-took:
			if !more {
				return latency(all)
			}
			all, last = append(all, one), time.Now()
		case <-late.C:
			return latency(append(all, time.Since(last)))
		}
	}
}

// latency is the latency of writes that took so long each, by nearest rank.
func latency(took []time.Duration) Latency {
	l := Latency{Count: len(took)}
	if l.Count == 0 {
		return l
	}
	sorted := slices.Sorted(slices.Values(took))
	rank := func(p float64) time.Duration { return sorted[max(int(math.Ceil(p*float64(len(sorted)))), 1)-1] }
	l.P50, l.P99 = rank(0.50), rank(0.99)
	return l
}

// SlowSync is what a disk may take, as a rule, for raft's quick timing: an SD
// card makes 37 writes a second last when nothing else writes, and takes much
// longer when something does.
const SlowSync = 50 * time.Millisecond

// Slow reports whether the disk is too slow for raft's quick timing. A quick disk
// that had a few bad moments while the host was busy is not: of an SD card the
// median tells, too.
func (l Latency) Slow() bool { return l.P99 > SlowSync && l.P50 > SlowSync/10 }
