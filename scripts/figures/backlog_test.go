package figures_test

import (
	"context"
	"io"
	"net/http"
	"strings"
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
// long each takes to be ready, and what memory it needs.
func BenchmarkBacklog(b *testing.B) {
	r := coordinators(b, "")
	first, _ := leader(b, r)
	fill(b, first.Loopback)
	healthy(b, r)
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
		ready(b, n.Loopback, time.Minute)
		all = append(all, time.Since(begun))
	}
	report(b, "restart", all)
	var most float64
	for _, n := range r.Coordinators {
		most = max(most, resident(b, n.PID()))
	}
	b.ReportMetric(most, "rss-MiB")
	healthy(b, r)
	page, err := (&wire.Client{BaseURLs: []string{"http://" + first.Loopback}}).Tasks(b.Context(), task.Ready, "", 1)
	if err != nil || len(page.Tasks) != 1 {
		b.Errorf("after the restart: %v, %v", page, err)
	}
}

// fill hands tasks in, with many at the same time.
func fill(b *testing.B, at string) {
	b.Helper()
	var left atomic.Int64
	left.Store(backlog)
	var all sync.WaitGroup
	begun := time.Now()
	for range 128 {
		all.Go(func() {
			t := &http.Transport{MaxConnsPerHost: 1}
			defer t.CloseIdleConnections()
			c := http.Client{Transport: t, Timeout: 20 * time.Second}
			for left.Add(-1) >= 0 && !b.Failed() {
				res, err := c.Post("http://"+at+wire.PathTasks, "application/json", strings.NewReader(`{"kind":"noop"}`))
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != http.StatusCreated {
					b.Errorf("submit: %s, %v", res.Status, err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(backlog/time.Since(begun).Seconds(), "filled/s")
}

// ready waits until a coordinator is.
func ready(b *testing.B, at string, within time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+wire.PathReady, nil)
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
			b.Fatalf("%s is not ready within %v", at, within)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
