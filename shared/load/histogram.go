package load

import (
	"math"
	"math/bits"
	"time"
)

// precision is how many linear steps each doubling of a duration has: 1/1024, so
// that a quantile is off by less than 0.1 %.
const precision = 1 << 10

// longest is the longest duration that is told apart from longer ones.
const longest = time.Hour

// A Histogram counts durations, from a nanosecond to an hour, in steps that grow
// with them, as G. Tene's HdrHistogram does. Its size does not depend on how many
// it counts. The zero value is empty. It is not safe to share.
type Histogram struct {
	counts []uint64 // by step
	count  uint64
	sum    time.Duration
	most   time.Duration
}

// step is the index of d's step: below 2×precision each value has its own, above
// that each doubling has precision of them.
func step(d time.Duration) int {
	v := uint64(max(0, min(d, longest)))
	shift := max(0, bits.Len64(v)-bits.Len(2*precision-1))
	return shift*precision + int(v>>shift)
}

// upper is the largest duration of a step.
func upper(i int) time.Duration {
	if i < 2*precision {
		return time.Duration(i)
	}
	shift := i/precision - 1
	return time.Duration((uint64(i-shift*precision)+1)<<shift - 1)
}

// Add counts d; one below zero counts as zero.
func (h *Histogram) Add(d time.Duration) {
	d = max(0, d)
	i := step(d)
	if i >= len(h.counts) {
		h.counts = append(h.counts, make([]uint64, i+1-len(h.counts))...)
	}
	h.counts[i]++
	h.count++
	h.sum += d
	h.most = max(h.most, d)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	if n := len(other.counts); n > len(h.counts) {
		h.counts = append(h.counts, make([]uint64, n-len(h.counts))...)
	}
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.most = max(h.most, other.most)
}

// Count is how many were counted.
func (h *Histogram) Count() uint64 { return h.count }

// Max is the longest one, exactly; 0 if there is none.
func (h *Histogram) Max() time.Duration { return h.most }

// Mean is their mean; 0 if there is none.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return h.sum / time.Duration(h.count)
}

// Quantile is the duration that a share q, 0 to 1, of all does not exceed, rounded
// up by less than 0.1 %; 0 if there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(1, uint64(math.Ceil(q*float64(h.count))))
	for i, n := range h.counts {
		if n >= rank {
			return min(upper(i), h.most)
		}
		rank -= n
	}
	return h.most
}
