package outbox_test

import (
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/outbox"
	"primespark/agent/record"
	"primespark/shared/clock"
	"primespark/shared/telemetry"
)

// A Pi boots ten days in the past, measures, learns the time, and measures on. What it
// measured before is sent with the time that it was, in order, and is not too old. What
// an earlier process left, whose clock nobody knows, stays marked, and stays.
func TestSamplesBeforeTheClockWasSet(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		const past = -10 * 24 * time.Hour
		var offset time.Duration
		synced := false
		begin := time.Now()
		times := clock.New(func() (time.Time, time.Duration) { return time.Now().Add(offset), time.Since(begin) },
			func() (bool, error) { return synced, nil })
		offset = past
		boot := time.Now().Add(past)
		l := open(t, dir, func(c *outbox.Config) { c.Clock, c.Boot = times, boot.UnixMilli() })
		l.Keep(telemetry.Sample{Boot: 5, Stream: "disk", Seq: 9, At: boot.Add(-time.Minute).UTC(), Unsynced: 1, Value: telemetry.Number(1, "")})
		r := record.ByClock(boot, l.Box, times)
		measure := func() {
			t.Helper()
			if err := r.Record("cpu", telemetry.Number(1, "")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
		}
		measure()
		if got := l.samples(t)[1]; got.Unsynced == 0 || time.Since(got.At) < 9*24*time.Hour {
			t.Errorf("before the clock is set: %v, stretch %d, want it ten days back and marked", got.At, got.Unsynced)
		}
		offset, synced = 0, true
		measure()
		time.Sleep(10 * time.Second)
		all := l.samples(t)
		if len(all) != 3 {
			t.Fatalf("%d samples wait, want 3: none is too old", len(all))
		}
		if all[0].Unsynced != 1 || !all[0].At.Equal(boot.Add(-time.Minute)) {
			t.Errorf("of the earlier process: %v, stretch %d, want it as it was", all[0].At, all[0].Unsynced)
		}
		for i, s := range all[1:] {
			if s.Unsynced != 0 || s.Seq != uint64(i+1) {
				t.Errorf("%d: sequence %d, stretch %d", i+1, s.Seq, s.Unsynced)
			}
		}
		if apart := all[2].At.Sub(all[1].At); apart != 2*time.Second {
			t.Errorf("measured %v apart, want 2s", apart)
		}
		l.stop()
	})
}

// samples are those on disk, as a connection would send them.
func (l *lab) samples(t *testing.T) (all []telemetry.Sample) {
	t.Helper()
	entries, err := l.Read(0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Sample)
	}
	return all
}
