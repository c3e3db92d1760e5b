package load_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/load"
)

// A quantile is off by less than 0.1 %, whatever the size of the durations.
func TestQuantiles(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var h, half load.Histogram
	var all []time.Duration
	for i := range 20000 {
		d := time.Duration(1) << r.IntN(40)
		d += time.Duration(r.Int64N(int64(d)))
		all = append(all, d)
		if i%2 == 0 {
			h.Add(d)
		} else {
			half.Add(d)
		}
	}
	h.Merge(&half)
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(0, int(q*float64(len(all)))-1)]
		got := h.Quantile(q)
		if got < want || float64(got-want) > 0.001*float64(want) {
			t.Errorf("quantile %v is %v, want %v to +0.1 %%", q, got, want)
		}
	}
	if h.Count() != 20000 || h.Max() != all[len(all)-1] {
		t.Errorf("%d counted, the longest %v, want 20000 and %v", h.Count(), h.Max(), all[len(all)-1])
	}
}

func TestHistogramEdges(t *testing.T) {
	var h load.Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty one has durations")
	}
	h.Add(-1)
	h.Add(100 * time.Hour)
	if h.Quantile(0.5) != 0 || h.Max() != 100*time.Hour || h.Mean() != 50*time.Hour || h.Count() != 2 {
		t.Errorf("p50 %v, max %v, mean %v of %d", h.Quantile(0.5), h.Max(), h.Mean(), h.Count())
	}
}

// A server that stalls once is charged with all that came meanwhile.
func TestNothingIsOmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		stalled := false
		r := load.Run(t.Context(), load.Plan{Rate: 100, Connections: 1, Duration: 10 * time.Second}, func(context.Context, int) error {
			if !stalled && time.Since(start) >= 5*time.Second {
				stalled = true
				time.Sleep(2 * time.Second)
			}
			time.Sleep(time.Millisecond)
			return nil
		})
		if r.Sent != 1000 || r.Unsent != 0 || len(r.Failed) != 0 {
			t.Errorf("%d sent, %d unsent, failed %v, want 1000 sent", r.Sent, r.Unsent, r.Failed)
		}
		// Of 10 s of requests, those of 2 s waited for up to 2 s, and some more in the queue
		// that had built up.
		if p := r.Latency.Quantile(0.9); p < time.Second || r.Latency.Max() != 2001*time.Millisecond {
			t.Errorf("p90 %v, max %v, want more than 1 s and 2.001 s", p, r.Latency.Max())
		}
		if p := r.Latency.Quantile(0.5); p > 2*time.Millisecond {
			t.Errorf("p50 %v, want 1 ms", p)
		}
		if p := r.Service.Quantile(0.99); p > 2*time.Millisecond {
			t.Errorf("p99 from when it was sent is %v, want 1 ms: one in a thousand stalled", p)
		}
	})
}

// What could not be sent counts with the time that it had waited.
func TestOverload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := load.Run(t.Context(), load.Plan{Rate: 100, Connections: 2, Duration: 10 * time.Second}, func(context.Context, int) error {
			time.Sleep(100 * time.Millisecond) // 20 a second is all it does
			return nil
		})
		if r.Sent+r.Unsent != 1000 || r.Sent < 195 || r.Sent > 205 || r.Latency.Count() != 1000 {
			t.Errorf("%d sent, %d unsent, %d latencies, want 200, 800 and 1000", r.Sent, r.Unsent, r.Latency.Count())
		}
		if p := r.Latency.Quantile(0.5); p < 3*time.Second {
			t.Errorf("p50 is %v, want some 4 s", p)
		}
		if got := r.Throughput(); got < 19 || got > 21 {
			t.Errorf("throughput %v, want 20", got)
		}
	})
}

func TestWarmupIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var calls atomic.Int64
		r := load.Run(t.Context(), load.Plan{Rate: 10, Connections: 4, Duration: 10 * time.Second, Warmup: 5 * time.Second}, func(context.Context, int) error {
			calls.Add(1)
			if time.Since(start) < 4*time.Second {
				time.Sleep(time.Second)
			}
			return nil
		})
		if r.Sent != 100 || calls.Load() != 150 || r.Latency.Max() > time.Millisecond {
			t.Errorf("%d of %d requests counted, the slowest %v", r.Sent, calls.Load(), r.Latency.Max())
		}
	})
}

func TestClosedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &load.Failure{Name: "busy", Err: errors.New("full")}
		var n atomic.Int64
		seen := make([]bool, 4)
		r := load.Run(t.Context(), load.Plan{Connections: 4, Duration: time.Second}, func(_ context.Context, worker int) error {
			seen[worker] = true
			time.Sleep(10 * time.Millisecond)
			switch n.Add(1) % 10 {
			case 0:
				return busy
			case 1:
				return errors.New("other")
			}
			return nil
		})
		if r.Sent != 400 || r.Failed["busy"] != 40 || r.Failed["failed"] != 40 || r.Service.Count() != 320 || slices.Contains(seen, false) {
			t.Errorf("%d sent, failed %v, %d good, connections %v", r.Sent, r.Failed, r.Service.Count(), seen)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		for _, rate := range []float64{0, 1} {
			r := load.Run(ctx, load.Plan{Rate: rate, Connections: 2, Duration: time.Hour}, func(ctx context.Context, _ int) error {
				select {
				case <-time.After(300 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if r.Took > 3*time.Second || r.Unsent > 2 || len(r.Failed) != 0 {
				t.Errorf("rate %v: took %v, %d unsent, failed %v", rate, r.Took, r.Unsent, r.Failed)
			}
		}
	})
}
