package worker

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"
)

func (m *Model) status() ModelStatus {
	st := m.counts.status()
	st.Name, st.Contexts, st.Bottleneck = m.spec.Name, m.spec.Contexts, m.spec.FPS
	m.sup.mu.Lock()
	defer m.sup.mu.Unlock()
	if m.place != nil {
		st.InFlight = m.place.slots.taken()
	}
	return st
}

// A counts keeps what is told of a model. The zero value has seen nothing.
type counts struct {
	mu      sync.Mutex
	frames  uint64
	errors  map[Code]uint64
	library Ring
	queue   Ring
	seen    uint64 // frames at the last look
	looked  time.Time
}

// add takes one inference in. One that was cancelled is nobody's fault.
func (c *counts) add(t Timing, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.frames++
		c.library.Add(t.Library)
		c.queue.Add(t.Queue)
		return
	}
	code := Code("")
	if down, ok := errors.AsType[*Down](err); ok {
		code = down.Code
	} else if refused, ok := errors.AsType[*Refused](err); ok {
		code = refused.Code
	} else if errors.Is(err, context.DeadlineExceeded) {
		code = InferTimeout
	}
	if code != "" {
		if c.errors == nil {
			c.errors = map[Code]uint64{}
		}
		c.errors[code]++
	}
}

// status is what there is to tell since the last look.
func (c *counts) status() ModelStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	st := ModelStatus{Frames: c.frames, Library: c.library.Quantiles(), Queue: c.queue.Quantiles()}
	for code, n := range c.errors {
		if st.Errors == nil {
			st.Errors = map[Code]uint64{}
		}
		st.Errors[code] = n
	}
	if !c.looked.IsZero() {
		st.FPS = math.Round(10*float64(c.frames-c.seen)/max(now.Sub(c.looked).Seconds(), 1e-3)) / 10
	}
	c.seen, c.looked = c.frames, now
	return st
}

// patience is how long an inference may take before the chip is taken to hang:
// many times what they took lately, and never more than most.
func (c *counts) patience(most time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	const times, least = 50, time.Second
	if c.library.n < 8 {
		return most // nobody knows yet how long they take
	}
	return min(most, max(least, times*(c.library.longest()+c.queue.longest())))
}

// A Ring keeps the durations of the last inferences.
type Ring struct {
	last [128]time.Duration
	n    int // that were added, ever
}

// Add takes one in.
func (r *Ring) Add(d time.Duration) {
	r.last[r.n%len(r.last)] = d
	r.n++
}

func (r *Ring) kept() []time.Duration { return r.last[:min(r.n, len(r.last))] }

func (r *Ring) longest() time.Duration {
	if r.n == 0 {
		return 0
	}
	return slices.Max(r.kept())
}

// Quantiles are of those that are kept.
func (r *Ring) Quantiles() Quantiles {
	if r.n == 0 {
		return Quantiles{}
	}
	sorted := slices.Sorted(slices.Values(r.kept()))
	at := func(share float64) float64 {
		return float64(sorted[int(share*float64(len(sorted)-1))].Microseconds()) / 1000
	}
	return Quantiles{at(.5), at(.95)}
}
