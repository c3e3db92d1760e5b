package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/config"
	"primespark/agent/outbox"
	"primespark/shared/clock"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/watch"
)

// How long a sample waits for its commit: with one a second, a power cut takes a
// second's samples. On battery, and on a card that is written to more than it
// bears, five seconds share one.
const (
	commitEvery = time.Second
	commitRare  = 5 * time.Second
)

// A thrift is how the node spares its battery with what it keeps.
type thrift struct {
	onBattery func() bool        // commits are rarer
	hold      *watch.Value[bool] // samples wait here
}

// A life is when this process began, and by which clock.
type life struct {
	boot  time.Time
	clock *clock.Clock
}

// openOutbox opens the file of samples that wait; there is none on a node that
// belongs to no cluster, where nobody would ever acknowledge any. A disk that is
// read-only does not keep the node from serving.
func openOutbox(cfg config.Config, id *identity.Identity, spare thrift, since life, conditions *health.Registry, log *slog.Logger, metrics prometheus.Registerer) (*outbox.Box, *outbox.Wear, error) {
	if id == nil {
		return nil, nil, nil
	}
	wear, err := outbox.NewWear(metrics)
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(cfg.StateDir, "outbox")
	err = os.MkdirAll(dir, 0o700)
	var box *outbox.Box
	if err == nil {
		box, err = outbox.Open(outbox.Config{
			Dir: dir, MaxSize: int64(cfg.Outbox.MaxSize), MaxAge: cfg.Outbox.MaxAge.D(),
			Every: func() time.Duration {
				if spare.onBattery() || wear.Over() {
					return commitRare
				}
				return commitEvery
			},
			Hold: spare.hold, Clock: since.clock, Boot: since.boot.UnixMilli(), Conditions: conditions, Log: log, Metrics: metrics,
		})
	}
	if err != nil {
		remedy := "See that the disk under state_dir is writable and has room, then start the agent anew."
		log.Error("samples are not kept, only the newest are shown", "err", err, "remedy", remedy)
		conditions.Set(health.StorageFull, health.Warning, "Samples cannot be kept: "+err.Error()+".", remedy)
		return nil, nil, nil
	}
	return box, wear, nil
}

// latest is the newest power state, from when there is a monitor.
type latest struct {
	get atomic.Pointer[func() fleet.Power]
}

// battery reports whether the node runs on its battery.
func (l *latest) battery() bool {
	get := l.get.Load()
	return get != nil && (*get)().Source == fleet.Battery
}
