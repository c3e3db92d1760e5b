package lab_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"primespark/shared/run"
)

// TestNemesis: three coordinators, five agents and a broker, and one fault after
// the other, drawn by a seed. What is promised holds after each round and at the
// end, and everybody is well again.
func TestNemesis(t *testing.T) {
	length := either(time.Minute, 3*time.Minute)
	if text := os.Getenv("NEMESIS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < time.Second {
			t.Fatalf("NEMESIS is %q; give a duration such as 15m", text)
		}
		length = d
	}
	seed := uint64(time.Now().UnixNano() % 1e6)
	if text := os.Getenv("SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("SEED is %q; give a number", text)
		}
		seed = n
	}
	ctx := begin(t, length+10*time.Minute)
	t.Logf("the same again: make chaos NEMESIS=%v SEED=%d", length, seed)
	if err := nemesis(ctx, length, seed, t.Logf); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}

// roundLength is how long faults go on until all is checked.
const roundLength = 100 * time.Second

func nemesis(ctx context.Context, length time.Duration, seed uint64, logf func(string, ...any)) (err error) {
	draw := rand.New(rand.NewPCG(seed, 0))
	l, err := found(ctx, plan{agents: 5, disks: true, broker: true})
	if err != nil {
		return err
	}
	defer l.done(&err)
	d, err := beginLoad(ctx, l, 3, 2, 60*time.Millisecond)
	if err != nil {
		return err
	}
	defer d.end()
	var calls, faults int
	begun := time.Now()
	for round := 1; time.Since(begun) < length; round++ {
		w, err := watch(ctx, l, 250*time.Millisecond)
		if err != nil {
			return err
		}
		until := time.Now().Add(min(roundLength, length-time.Since(begun)))
		n, err := l.round(ctx, draw, until, func(what string, hold time.Duration) {
			logf("%6.1f s  %s for %v", time.Since(begun).Seconds(), what, hold)
		})
		faults += n
		if err == nil {
			err = l.agree(ctx, time.Minute)
		}
		well := time.Since(until)
		w.end()
		if err == nil {
			err = w.check()
		}
		calls += w.count()
		if err == nil {
			err = d.checkAll(ctx, l)
		}
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		logf("%6.1f s  round %d: all well %v after its last fault, and all that was promised holds", time.Since(begun).Seconds(), round, well.Round(100*time.Millisecond))
	}
	share := d.available(time.Now())
	d.rest()
	if err := d.conclude(ctx, l); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	logf("%d faults; %d writes acknowledged, in %.1f %% of all seconds; %d further calls are linearizable", faults, d.count(), 100*share, calls)
	return nil
}

// round has one fault follow the other until the time is over.
func (l *lab) round(ctx context.Context, draw *rand.Rand, until time.Time, tell func(string, time.Duration)) (count int, err error) {
	for time.Now().Before(until) {
		faults, err := l.draw(ctx, draw)
		if err != nil {
			return count, err
		}
		hold := 500*time.Millisecond + time.Duration(draw.Int64N(int64(6*time.Second))).Round(time.Millisecond)
		rest := 500*time.Millisecond + time.Duration(draw.Int64N(int64(2*time.Second)))
		tell(names(faults), hold)
		if err := suffer(ctx, faults, hold); err != nil {
			return count, fmt.Errorf("%s: %w", names(faults), err)
		}
		count++
		select {
		case err := <-l.Broken():
			return count, broken("during %s: %v", names(faults), err)
		default:
		}
		if !run.Sleep(ctx, rest) {
			return count, ctx.Err()
		}
	}
	return count, nil
}
