package figures_test

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"primespark/shared/task"
	"primespark/shared/wire"
)

// backlog is how many tasks wait, nearly as many as the queue takes.
const backlog = 99_900

// BenchmarkBacklog restarts coordinators that hold as many tasks as they may: how
// long each takes to be ready, and what memory it needs. Beside it stands etcd with
// as many values, of which a member is ready when it says that it is well.
func BenchmarkBacklog(b *testing.B) {
	theirs := etcdBacklog(b)
	r := coordinators(b, "")
	first, _ := leader(b, r)
	tell("%d tasks are handed in", backlog)
	fill(b, "filled/s", &side{with: submit(first.Loopback, `{"kind":"noop"}`)})
	healthy(b, r)
	tell("the coordinators start anew")
	for _, n := range r.Coordinators {
		n.Stop()
	}
	var all []time.Duration
	begun := time.Now()
	for _, n := range r.Coordinators {
		if err := n.Start(); err != nil {
			b.Fatal(err)
		}
	}
	for _, n := range r.Coordinators {
		ready(b, "http://"+n.Loopback+wire.PathReady, time.Minute)
		all = append(all, time.Since(begun))
	}
	report(b, "restart", all)
	b.ReportMetric(slices.Max(all).Seconds()/theirs.Seconds(), "restart-ratio")
	b.ReportMetric(slices.Max(memories(b, r)), "rss-MiB")
	healthy(b, r)
	page, err := (&wire.Client{BaseURLs: []string{"http://" + first.Loopback}}).Tasks(b.Context(), task.Ready, "", 1)
	if err != nil || len(page.Tasks) != 1 {
		b.Errorf("after the restart: %v, %v", page, err)
	}
	b.ReportMetric(0, "ns/op")
}

// etcdBacklog is how long etcd takes until the last member is ready.
func etcdBacklog(b *testing.B) time.Duration {
	b.Helper()
	e := newEtcds(b, "http")
	tell("%d values are put into etcd", backlog)
	fill(b, "etcd-filled/s", &side{h2: true, with: e.put(b, writeInput)})
	tell("etcd starts anew")
	for i := range e.cmds {
		e.stop(b, i)
	}
	begun := time.Now()
	for i := range e.cmds {
		e.start(b, i)
	}
	var all []time.Duration
	for i := range e.cmds {
		ready(b, "http://"+e.client[i]+"/health", time.Minute)
		all = append(all, time.Since(begun))
	}
	report(b, "etcd-restart", all)
	for i := range e.cmds {
		e.stop(b, i) // the coordinators get the machine for themselves
	}
	return slices.Max(all)
}

// fill does a backlog of writes, with many at the same time.
func fill(b *testing.B, metric string, to *side) {
	b.Helper()
	var left atomic.Int64
	left.Store(backlog)
	var all sync.WaitGroup
	begun := time.Now()
	for range 128 {
		all.Go(func() {
			c := to.client()
			defer c.CloseIdleConnections()
			write := to.with(c)
			for left.Add(-1) >= 0 && !b.Failed() {
				if err := write(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(backlog/time.Since(begun).Seconds(), metric)
}

// ready waits until a process says that it is, by 200 at a URL.
func ready(b *testing.B, url string, within time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			b.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if ctx.Err() != nil {
			b.Fatalf("%s does not say yes within %v", url, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
