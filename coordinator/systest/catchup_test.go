package systest_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/coordinator/history"
	"primespark/shared/telemetry"
)

// TestOutageIsCaughtUp: what a node measured in an hour without the broker, at ten
// samples a second, comes after it at more than ten times that pace; and what it
// measures meanwhile has its share of the way, though there is more of it than fits.
func TestOutageIsCaughtUp(t *testing.T) {
	const hour = 36_000 / fewer
	s := newSite(t)
	s.holder("c1")
	kill := s.holder("c2")
	s.holder("c3")
	dir := filepath.Join(s.dir, "pi-1")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	box, err := openOutbox(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	rec := record.New(time.Now(), box)
	up, err := uplink.New(uplink.Config{Broker: "tcp://" + s.at, Topics: deliveryTopics, Box: box}, rec, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	measure := func(stream telemetry.Stream, n int) {
		t.Helper()
		for range n {
			if err := rec.Record(stream, telemetry.Number(1, "")); err != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	boxed, upped := make(chan error, 1), make(chan error, 1)
	go func() { boxed <- box.Run(ctx) }()
	for kept := uint64(0); kept < hour; { // a few thousand at a time: memory holds no more for a slow disk
		kept += hour / 10
		measure("old", hour/10)
		for last, changed := box.Last(); last < kept; last, changed = box.Last() {
			select {
			case <-changed:
			case <-time.After(time.Minute):
				t.Fatalf("%d samples of %d are on the disk after a minute", last, kept)
			}
		}
	}
	s.broker()
	time.Sleep(time.Second) // its listener is there
	begin := time.Now()
	go func() { upped <- up.Run(ctx) }()
	old := telemetry.Sample{Boot: rec.Newest().Get()["old"].Boot, Stream: "old", Seq: hour}
	live := 0
	for tick := time.NewTicker(10 * time.Millisecond); !box.Acknowledged(old); <-tick.C {
		if time.Since(begin) > 2*time.Minute {
			t.Fatal("it is not caught up after two minutes")
		}
		measure("new", 150)
		live += 150
	}
	took := time.Since(begin)
	stop()
	if err := errors.Join(<-boxed, <-upped); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second)
	kill()
	share, rows := s.share(filepath.Join(s.dir, "c2"), hour)
	t.Logf("%d samples of the outage in %v: %.0f a second, %.0f times the pace at which they were measured; %.0f%% of the %d rows meanwhile were new ones, of %d measured",
		hour, took.Round(time.Millisecond), hour/took.Seconds(), hour/took.Seconds()/10, 100*share, rows, live)
	if pace := hour / took.Seconds(); pace < 100 {
		t.Errorf("caught up at %.0f a second, want 100 or more", pace)
	}
	if share < 0.2 {
		t.Errorf("%.0f%% of what came meanwhile is new, want 20%% or more", 100*share)
	}
}

// share is which part of the rows that were stored up to the last old one is new.
func (s *site) share(dir string, old int) (part float64, rows int) {
	s.t.Helper()
	store, err := history.Open(history.Config{Dir: dir, MaxSize: 1 << 30, Raw: time.Hour, Minutes: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	fresh := 0
	for n := uint64(0); old > 0; {
		page, err := store.After(n, 5000)
		if err != nil || len(page) == 0 {
			s.t.Fatalf("%d of the old samples are missing, %v", old, err)
		}
		for _, r := range page {
			n = r.N
			switch {
			case old == 0:
			case r.Stream == "old":
				old--
				rows++
			default:
				fresh++
				rows++
			}
		}
	}
	return float64(fresh) / float64(rows), rows
}
