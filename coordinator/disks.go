package coordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/disk"
	"primespark/shared/health"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// timing is the name of the raft profile for a disk: the one that was asked for,
// or wan if the disk is too slow for that. A disk that nothing is known of is
// left to the watchdog.
func timing(wanted string, l disk.Latency) string {
	if wanted == "lan" && l.Slow() {
		return "wan"
	}
	return wanted
}

// tellSpeed says what was measured, and what was made of it.
func tellSpeed(log *slog.Logger, c *health.Registry, wanted, profile string, l disk.Latency) {
	figures := []any{"profile", profile, "fsync_p50_ms", millis(l.P50), "fsync_p99_ms", millis(l.P99), "writes", l.Count}
	if profile == wanted {
		log.Info("disk measured", figures...)
		return
	}
	log.Warn("the disk is too slow for raft's profile lan, using wan: a lost leader is replaced in about three seconds instead of one",
		append(figures, "remedy", slowRemedy)...)
	c.Set(health.SlowDisk, health.Warning,
		fmt.Sprintf("At the start the disk took %.0f ms or more for one small write in a hundred, and %.0f ms for every other one; raft uses the timing for slow disks.",
			millis(l.P99), millis(l.P50)), slowRemedy)
}

const slowRemedy = "Put state_dir on an SSD or NVMe drive and start the coordinator again: SD cards take long to make a write last, longer as they wear, and each agreed change waits for that."

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// disks is what a coordinator does about its disk.
type disks struct {
	dir        string
	widened    bool // the timing, at the start: that is told for as long as it is so
	take       func(consensus.Stance)
	conditions *health.Registry
	newest     *watch.Value[disk.State] // nil: nobody wants to know
}

// act is called with each new state of the disk.
func (d disks) act(s disk.State) {
	d.take(stanceOf(s))
	if d.newest != nil {
		d.newest.Store(s)
	}
	d.when(s.Hung(), health.DiskStalled, health.Unready, func() (string, string) {
		return fmt.Sprintf("The disk under %s has not answered for seconds, so this coordinator keeps silent and others decide.", d.dir),
			"Look into dmesg; replace the card, the cable or the disk."
	})
	d.when(s.Full, health.StorageFull, health.Unready, func() (string, string) {
		return fmt.Sprintf("The disk under %s has %d MiB of room left, less than the %d MiB that a coordinator wants; it follows and does not lead.",
			d.dir, s.Free>>20, s.Floor>>20), "Delete what is not needed, or move state_dir to a larger disk; this coordinator then goes on by itself."
	})
	if !d.widened {
		d.when(s.Slow, health.SlowDisk, health.Warning, func() (string, string) {
			return fmt.Sprintf("The disk under %s takes more than %d ms to make a small write last.", d.dir, disk.SlowSync.Milliseconds()), slowRemedy
		})
	}
}

func (d disks) when(holds bool, code health.Code, severity health.Severity, words func() (detail, remedy string)) {
	if !holds {
		d.conditions.Clear(code)
		return
	}
	detail, remedy := words()
	d.conditions.Set(code, severity, detail, remedy)
}

// stanceOf is how far a node with such a disk takes part.
func stanceOf(s disk.State) consensus.Stance {
	switch {
	case s.Hung():
		return consensus.Silent
	case s.Full:
		return consensus.Reluctant
	}
	return consensus.Willing
}

// guarded is the watchdog as a part. A disk that is lost ends the process at
// once, if abort is there to do it: closing the log would wait for the disk.
func guarded(w *disk.Watchdog, abort func(), log *slog.Logger) run.Part {
	return run.Func(w.String(), func(ctx context.Context) error {
		err := w.Run(ctx)
		if errors.Is(err, disk.ErrLost) {
			log.Error("ending this process, a new one may get through to the disk", "err", err,
				"remedy", "look into dmesg; replace the card, the cable or the disk")
			if abort != nil {
				abort()
			}
		}
		return err
	})
}
