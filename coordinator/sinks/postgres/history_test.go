package postgres_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
	"primespark/coordinator/sinks/postgres"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

// TestHistoryToPostgres copies a real history into a real database that is killed
// on the way: nothing is missing, and nothing is there twice.
func TestHistoryToPostgres(t *testing.T) {
	s := start(t)
	if err := open(t, config(s)).Close(); err != nil { // the schema is there, however soon the server is killed
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	store, err := history.Open(history.Config{Dir: t.TempDir(), MaxSize: 1 << 30, Raw: 24 * time.Hour, Minutes: 720 * time.Hour, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	feed, err := sinks.New(sinks.Config{
		Name: "postgres", Source: store, Say: func(context.Context, map[string]uint64) error { return nil },
		Open:       func(ctx context.Context) (sinks.Sink, error) { return postgres.Open(ctx, config(s)) },
		Conditions: health.New(nil), Log: log, Metrics: prometheus.NewRegistry(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error)
	go func() { done <- run.All(ctx, store, feed) }()
	const rounds, each = 20, 500
	begin := time.Now().UTC().Truncate(time.Millisecond).Add(-time.Hour)
	for i := range rounds {
		samples := make([]telemetry.Sample, each)
		for j := range samples {
			seq := i*each + j + 1
			samples[j] = telemetry.Sample{Boot: 1795392000000, Stream: "cpu", Seq: uint64(seq), At: begin.Add(time.Duration(seq) * time.Millisecond), Value: telemetry.Number(float64(seq), "")}
		}
		if _, err := store.Append(ctx, "pi-1", samples); err != nil {
			t.Fatal(err)
		}
		if i == rounds/2 {
			s.down("immediate")
		}
	}
	s.up()
	count := func() int { return query[int](s, `SELECT count(*) FROM primespark.samples`) }
	for count() < rounds*each && run.Sleep(ctx, 100*time.Millisecond) { // another process, of which nobody tells
	}
	if n := count(); n != rounds*each {
		t.Errorf("%d rows, want %d", n, rounds*each)
	}
	if sum := query[float64](s, `SELECT sum(value) FROM primespark.samples`); sum != float64(rounds*each)*float64(rounds*each+1)/2 {
		t.Errorf("the values' sum is %v", sum)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
