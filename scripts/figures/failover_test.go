package figures_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// rounds is how often each leader is stopped, unless ROUNDS says otherwise.
const rounds = 5

// BenchmarkFailover is how long no write is accepted after SIGKILL of the leader,
// with our timing and with raft's own (the profile wan has hashicorp/raft's
// defaults), and how long the longest pause is around a SIGTERM, when the leader
// hands over.
func BenchmarkFailover(b *testing.B) {
	times := times(b, "ROUNDS", rounds)
	for _, profile := range []struct{ name, raft string }{{"lan", "lan"}, {"raft-defaults", "wan"}} {
		r := coordinators(b, profile.raft)
		var killed, stopped []time.Duration
		for range times {
			first, _ := around(b, r, func(n *rig.Node) { n.Kill() })
			killed = append(killed, first)
		}
		for range times {
			_, longest := around(b, r, (*rig.Node).Stop)
			stopped = append(stopped, longest)
		}
		report(b, profile.name+"-killed", killed)
		report(b, profile.name+"-stopped", stopped)
	}
}

// around stops the leader and has both others asked for a write all the time,
// until it is gone and one was accepted since. It returns when the first was
// accepted that began after the stop began, and the longest time without any.
func around(b *testing.B, r *rig.Rig, stop func(*rig.Node)) (first, longest time.Duration) {
	b.Helper()
	leading, others := leader(b, r)
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	type write struct{ begun, done time.Time }
	accepted := make(chan write, 1024)
	var writers sync.WaitGroup
	for _, n := range others {
		for range 2 { // one may just wait for the leader that is gone
			client := &wire.Client{BaseURLs: []string{"http://" + n.Loopback}}
			writers.Go(func() {
				for ctx.Err() == nil {
					begun := time.Now()
					if _, err := client.SubmitTask(ctx, task.Spec{Kind: task.Noop}, ""); err == nil {
						select {
						case accepted <- write{begun, time.Now()}:
						case <-ctx.Done():
						}
					}
					time.Sleep(2 * time.Millisecond)
				}
			})
		}
	}
	var at, last time.Time // of the stop, and of the last write that was accepted
	gone := make(chan struct{})
	for begin := time.Now(); ; {
		select {
		case w := <-accepted:
			if !at.IsZero() {
				longest = max(longest, w.done.Sub(last))
				if first == 0 && w.begun.After(at) {
					first = w.done.Sub(at)
				}
			}
			last = w.done
		case <-ctx.Done():
			b.Fatal("no write was accepted within a minute")
		}
		if at.IsZero() && time.Since(begin) > 300*time.Millisecond {
			at = time.Now()
			go func() { stop(leading); close(gone) }()
		}
		select {
		case <-gone:
		default:
			continue
		}
		if first > 0 && time.Since(at) > time.Second {
			break
		}
	}
	cancel()
	writers.Wait()
	if err := leading.Start(); err != nil {
		b.Fatal(err)
	}
	healthy(b, r)
	return first, longest
}
