// Package load puts a known load on a server and measures how long its answers take.
//
// With a rate the load is open: requests are due at fixed times, whether or not the
// ones before are answered, and each one's latency counts from when it was due. A
// server that stalls for a second is so charged with all that would have come in that
// second, and not with the one request that it held up: what a closed loop leaves out
// of the picture is known as coordinated omission (G. Tene, "How NOT to Measure
// Latency", 2013). Requests that were due and could not be sent before the end count,
// too, with the time that they had waited by then.
//
// Without a rate the loop is closed: each connection sends the next request when it
// has its answer. That tells the throughput; its latencies flatter.
package load

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// A Plan says what load to put.
type Plan struct {
	Rate        float64       // requests a second; 0 for as many as the connections can
	Connections int           // requests under way at a time, at most
	Duration    time.Duration // of the measurement
	Warmup      time.Duration // before it; what begins in it is sent and not counted
}

// A Result is what came of it.
type Result struct {
	Sent    uint64            // requests whose answers are counted here, failed ones too
	Unsent  uint64            // due within the time, and never sent for want of a free connection
	Failed  map[string]uint64 // by what Send called it
	Took    time.Duration     // until the last answer
	Latency Histogram         // of what succeeded, from when it was due; with it, those never sent
	Service Histogram         // the same from when it was sent
}

// Throughput is how many requests were answered well, a second.
func (r *Result) Throughput() float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(r.Service.Count()) / r.Took.Seconds()
}

// ErrFailed is what Send's errors are counted as that have no name.
var ErrFailed = errors.New("failed")

// A Failure is an error that is counted under its name.
type Failure struct {
	Name string
	Err  error
}

func (f *Failure) Error() string { return f.Name + ": " + f.Err.Error() }
func (f *Failure) Unwrap() error { return f.Err }

// Run puts the load on whatever send reaches, and returns when all that was sent is
// answered. Send makes one request on connection number worker, from 0 on. If ctx
// ends, Run ends early with what there is.
func Run(ctx context.Context, p Plan, send func(ctx context.Context, worker int) error) *Result {
	r := &runner{Plan: p, start: time.Now(), send: send}
	r.begin, r.end = r.start.Add(p.Warmup), r.start.Add(p.Warmup+p.Duration)
	all := make([]Result, max(1, p.Connections))
	var working sync.WaitGroup // Run waits for it below
	for i := range all {
		working.Go(func() { r.work(ctx, i, &all[i]) })
	}
	working.Wait()
	sum := &Result{Failed: map[string]uint64{}, Took: max(time.Since(r.begin), p.Duration)}
	if ctx.Err() != nil {
		sum.Took = max(0, time.Since(r.begin))
	}
	for i := range all {
		sum.Sent += all[i].Sent
		sum.Unsent += all[i].Unsent
		sum.Latency.Merge(&all[i].Latency)
		sum.Service.Merge(&all[i].Service)
		for name, n := range all[i].Failed {
			sum.Failed[name] += n
		}
	}
	if p.Rate > 0 && ctx.Err() == nil {
		r.unsent(sum)
	}
	return sum
}

// A runner is one Run.
type runner struct {
	Plan
	start, begin, end time.Time
	next              atomic.Uint64 // number of the request to be sent next
	send              func(ctx context.Context, worker int) error
}

// due is when request number n is to be sent.
func (r *runner) due(n uint64) time.Time {
	return r.start.Add(time.Duration(float64(n) / r.Rate * float64(time.Second)))
}

// work sends what is due, one request after another.
func (r *runner) work(ctx context.Context, worker int, out *Result) {
	out.Failed = map[string]uint64{}
	wake := time.NewTimer(0)
	defer wake.Stop()
	for {
		due := time.Now()
		if r.Rate > 0 {
			if due = r.due(r.next.Add(1) - 1); !due.Before(r.end) {
				return
			}
			wake.Reset(time.Until(due))
			select {
			case <-wake.C:
			case <-ctx.Done():
				return
			}
		}
		sent := time.Now()
		if !sent.Before(r.end) || ctx.Err() != nil {
			if r.Rate > 0 {
				r.miss(due, out)
			}
			return
		}
		err := r.send(ctx, worker)
		if due.Before(r.begin) || ctx.Err() != nil {
			continue
		}
		out.Sent++
		if err != nil {
			out.Failed[name(err)]++
			continue
		}
		done := time.Now()
		out.Latency.Add(done.Sub(due))
		out.Service.Add(done.Sub(sent))
	}
}

// miss counts a request that a worker had taken and could not send any more.
func (r *runner) miss(due time.Time, out *Result) {
	if due.Before(r.begin) {
		return
	}
	out.Unsent++
	out.Latency.Add(r.end.Sub(due))
}

// unsent counts those that no worker came to take.
func (r *runner) unsent(sum *Result) {
	for n := r.next.Load(); ; n++ {
		due := r.due(n)
		if !due.Before(r.end) {
			return
		}
		r.miss(due, sum)
	}
}

func name(err error) string {
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Name
	}
	return ErrFailed.Error()
}
