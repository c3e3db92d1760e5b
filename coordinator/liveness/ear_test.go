package liveness

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/watch"
)

// TestPaceOfAFleetThatShrinks has a node that beats seldom, as it was told, not
// missed when others may beat more often: it hears of that with its next beat.
func TestPaceOfAFleetThatShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(Config{Self: "c1", Gossip: watch.New(fleet.View{}), Log: slog.New(slog.DiscardHandler)})
		for i := range 40 {
			w.heard[fmt.Sprintf("pi-%d", i)] = &heard{role: fleet.Agent, session: &session{func() {}}}
		}
		w.judge(nil, time.Now())

		ctx, cancel := context.WithCancel(t.Context())
		in, out := io.Pipe()
		var told []time.Duration
		ended := make(chan error, 1)
		go func() {
			ended <- w.Attend(ctx, identity.ID{Cluster: "home", Role: fleet.Agent, Name: "node"}, in,
				func() error { return nil }, func(p heartbeat.Pace, news bool) error {
					if news {
						told = append(told, p.Every())
					}
					return nil
				})
		}()
		beat := func(want time.Duration, limit time.Duration) {
			t.Helper()
			if _, err := out.Write([]byte("\n")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := w.limit(w.heard["node"]); told[len(told)-1] != want || got != limit {
				t.Errorf("told to beat each %v, may be quiet for %v, want the last %v and %v", told, got, want, limit)
			}
		}
		synctest.Wait()
		beat(time.Second, 3*time.Second)
		for i := range 40 {
			delete(w.heard, fmt.Sprintf("pi-%d", i))
		}
		w.judge(nil, time.Now())
		if got := w.limit(w.heard["node"]); got != 3*time.Second {
			t.Errorf("before it was told it may be quiet for %v, want 3s", got)
		}
		beat(400*time.Millisecond, 1200*time.Millisecond)
		if want := []time.Duration{time.Second, 400 * time.Millisecond}; !slices.Equal(told, want) {
			t.Errorf("told %v, want %v", told, want)
		}

		cancel()
		synctest.Wait()
		if err := <-ended; err != nil {
			t.Errorf("the end of the connection is %v", err)
		}
		if _, err := out.Write([]byte("\n")); err == nil {
			t.Error("the body is open after the end")
		}
	})
}
