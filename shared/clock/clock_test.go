package clock_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/clock"
	"primespark/shared/health"
	"primespark/shared/run"
)

// A fake is a clock that is set by hand.
type fake struct {
	mono   time.Duration
	offset time.Duration
	synced bool
	err    error
}

var shutdown = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (f *fake) read() (time.Time, time.Duration) { return shutdown.Add(f.mono + f.offset), f.mono }
func (f *fake) set() (bool, error)               { return f.synced, f.err }

// TestMend: each line takes a time, lets something happen to the clock, and takes
// another one; the first is then mended.
func TestMend(t *testing.T) {
	week := 7 * 24 * time.Hour
	for name, test := range map[string]struct {
		synced  bool
		happens func(*fake)
		first   uint32 // stretch of the first time
		second  uint32 // of the second one
		by      time.Duration
		left    uint32
		jumped  time.Duration
	}{
		"set all the time":            {true, func(*fake) {}, 0, 0, 0, 0, 0},
		"set, and jumps":              {true, func(f *fake) { f.offset = week }, 0, 0, 0, 0, week},
		"never set":                   {false, func(*fake) {}, 1, 1, 0, 1, 0},
		"last shutdown, then NTP":     {false, func(f *fake) { f.offset, f.synced = week, true }, 1, 0, week, 0, week},
		"ahead, then NTP":             {false, func(f *fake) { f.offset, f.synced = -week, true }, 1, 0, -week, 0, -week},
		"set by hand, without NTP":    {false, func(f *fake) { f.offset = week }, 1, 2, week, 2, week},
		"was right, as NTP then says": {false, func(f *fake) { f.offset, f.synced = 100*time.Millisecond, true }, 1, 0, 0, 0, 0},
		"NTP is lost":                 {true, func(f *fake) { f.synced = false }, 0, 1, 0, 0, 0},
		"a kernel that does not tell": {false, func(f *fake) { f.err = errors.New("no adjtimex") }, 1, 0, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := fake{synced: test.synced}
			c := clock.New(f.read, f.set)
			at, first := c.Stamp()
			f.mono += time.Minute
			test.happens(&f)
			_, second := c.Stamp()
			if first != test.first || second != test.second {
				t.Errorf("in stretches %d and %d, want %d and %d", first, second, test.first, test.second)
			}
			mended, left := c.Mend(at, first)
			if mended.Sub(at) != test.by || left != test.left {
				t.Errorf("mended by %v with %d left, want %v and %d", mended.Sub(at), left, test.by, test.left)
			}
			if _, jumped := c.Look(); jumped != test.jumped {
				t.Errorf("jumped by %v, want %v", jumped, test.jumped)
			}
			if _, jumped := c.Look(); jumped != 0 {
				t.Errorf("jumped by %v again", jumped)
			}
		})
	}
}

// TestTwoJumps: the first stretch is mended by both, the second by the one after it.
func TestTwoJumps(t *testing.T) {
	f := fake{}
	c := clock.New(f.read, f.set)
	one, n1 := c.Stamp()
	f.offset = time.Hour
	two, n2 := c.Stamp()
	f.offset, f.synced = 25*time.Hour, true
	if at, n := c.Mend(one, n1); at.Sub(one) != 25*time.Hour || n != 0 {
		t.Errorf("the first by %v, %d", at.Sub(one), n)
	}
	if at, n := c.Mend(two, n2); at.Sub(two) != 24*time.Hour || n != 0 {
		t.Errorf("the second by %v, %d", at.Sub(two), n)
	}
	if at, n := c.Mend(one, 77); at != one || n != 77 {
		t.Errorf("a stretch that never was is mended to %v, %d", at, n)
	}
}

func TestNilBelieves(t *testing.T) {
	var c *clock.Clock
	if at, n := c.Stamp(); n != 0 || time.Since(at) > time.Hour {
		t.Errorf("%v, %d", at, n)
	}
	if synced, _ := c.Look(); !synced {
		t.Error("doubts")
	}
}

func TestHost(t *testing.T) {
	at, _ := clock.Host().Stamp()
	if off := time.Since(at); off < -time.Minute || off > time.Minute {
		t.Errorf("the host's clock is off by %v", off)
	}
}

// TestWatch: a clock that is not set is told of after a quarter of an hour, and no more
// once it is.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fake
		var set atomic.Bool
		conditions := health.New(nil)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- run.All(ctx, conditions, clock.Watch(clock.New(f.read, func() (bool, error) { return set.Load(), nil }), conditions, slog.New(slog.NewTextHandler(io.Discard, nil))))
		}()
		for _, want := range []struct {
			after time.Duration
			set   bool
			told  int
		}{{14 * time.Minute, false, 0}, {2 * time.Minute, false, 1}, {time.Minute, true, 0}, {14 * time.Minute, false, 0}} {
			set.Store(want.set)
			time.Sleep(want.after)
			synctest.Wait()
			if all := conditions.All(); len(all) != want.told || len(conditions.Reasons()) != 0 {
				t.Errorf("after %v more: %v, want %d warnings", want.after, all, want.told)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
