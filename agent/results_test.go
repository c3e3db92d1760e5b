package agent

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/infer/builtin"
	"primespark/agent/models"
	"primespark/shared/health"
	"primespark/shared/load"
	"primespark/shared/testphoto"
)

// serveResults serves the embedded model on loopback, with a cache on the disk.
func serveResults(tb testing.TB) (url string, metrics *prometheus.Registry) {
	tb.Helper()
	cfg := config.Default()
	cfg.StateDir = tb.TempDir()
	metrics = prometheus.NewRegistry()
	kept, err := openResults(cfg, slog.New(slog.DiscardHandler), metrics)
	if err != nil {
		tb.Fatal(err)
	}
	registry, err := models.New(models.Config{Backends: []infer.Backend{builtin.Backend{}}, Results: kept.models(), Metrics: metrics})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	front, err := api.New(api.Config{Node: "pi-1"}, api.Outside{
		Models: registry, Health: health.New(nil), Self: func() api.Self { return api.Self{} }, Metrics: metrics,
		Log: slog.New(slog.DiscardHandler), Serve: []api.Listener{{Listener: l}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running []chan error
	for _, run := range []func(context.Context) error{kept.Run, registry.Run, front.Run} {
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		running = append(running, done)
	}
	tb.Cleanup(func() {
		cancel()
		for _, done := range running {
			if err := <-done; err != nil {
				tb.Error(err)
			}
		}
	})
	<-registry.Settled()
	return "http://" + l.Addr().String(), metrics
}

// again sends the photo and returns what the answer says of the cache, and the answer.
func again(tb testing.TB, url string, header ...string) (word, body string) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, url+"/v2/models/blazeface/infer", bytes.NewReader(testphoto.Astronaut()))
	if err != nil {
		tb.Fatal(err)
	}
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		tb.Fatalf("%s %s: %v", res.Status, b, err)
	}
	return res.Header.Get("X-Prime-Spark-Cache"), string(b)
}

// TestResultsOverHTTP: the second answer is that of the first, and who wants none of it
// says so as HTTP has it.
func TestResultsOverHTTP(t *testing.T) {
	url, metrics := serveResults(t)
	var first string
	for i, step := range []struct {
		header []string
		want   string
	}{
		{nil, "miss"},
		{nil, "hit"},
		{[]string{"Cache-Control", "max-age=0, No-Store"}, ""},
		{[]string{"Cache-Control", "no-cache"}, "miss"},
		{[]string{"X-Priority", "7"}, "hit"},
	} {
		word, body := again(t, url, step.header...)
		if i == 0 {
			first = body
		}
		if word != step.want || body != first {
			t.Errorf("%v: %q, want %q; the same answer: %t", step.header, word, step.want, body == first)
		}
	}
	res, err := http.Get(url + "/v2/models/blazeface/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || !strings.Contains(string(b), `"inference_count":3,`) || !strings.Contains(string(b), `"cache_hit":{"count":2,`) || !strings.Contains(string(b), `"cache_miss":{"count":2,`) {
		t.Errorf("the statistics are %s, %v", b, err)
	}
	all, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == "primespark_inference_cache_requests_total" {
			return
		}
	}
	t.Error("the hits are not among the metrics")
}

// BenchmarkHit measures an answer of before over loopback HTTP; the goal is 0.5 ms at
// the 99th percentile.
func BenchmarkHit(b *testing.B) {
	url, _ := serveResults(b)
	again(b, url)
	line, err := load.Dial(b.Context(), strings.TrimPrefix(url, "http://"), http.MethodPost, "/v2/models/blazeface/infer", nil, testphoto.Astronaut())
	if err != nil {
		b.Fatal(err)
	}
	defer line.Close()
	var all load.Histogram
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		if header, _, err := line.Ask(); err != nil || header.Get("X-Prime-Spark-Cache") != "hit" {
			b.Fatal(header, err)
		}
		all.Add(time.Since(start))
	}
	b.ReportMetric(float64(all.Quantile(.5).Microseconds()), "p50-µs")
	b.ReportMetric(float64(all.Quantile(.99).Microseconds()), "p99-µs")
}
