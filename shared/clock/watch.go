package clock

import (
	"context"
	"log/slog"
	"time"

	"primespark/shared/health"
	"primespark/shared/run"
)

// Unset is how long a clock may go unset before that is told: NTP takes its time
// after a boot. It is what the alert PrimeSparkClockUnsynced waits, too.
const Unset = 15 * time.Minute

const lookEvery = 10 * time.Second

// Watch tells of a clock that nothing keeps right, and of its jumps. The condition is
// a warning: a node without a network serves all the same.
func Watch(c *Clock, conditions *health.Registry, log *slog.Logger) run.Part {
	return run.Func("clock", func(ctx context.Context) error {
		since := time.Now()
		for {
			synced, jumped := c.Look()
			if jumped != 0 {
				log.Info("the clock has jumped", "seconds", jumped.Seconds())
			}
			switch {
			case synced:
				since = time.Now()
				conditions.Clear(health.ClockUnsynced)
			case time.Since(since) >= Unset:
				conditions.Set(health.ClockUnsynced, health.Warning, "Nothing keeps this host's clock right: the times of samples are marked as uncertain, and certificates and deadlines go by it.",
					"See timedatectl, and let it ask a server for the time: sudo timedatectl set-ntp true.")
			}
			if !run.Sleep(ctx, run.Due(lookEvery)) {
				return nil
			}
		}
	})
}
