package agent

import (
	"context"
	"log/slog"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/watch"
)

// pulse is how often the newest values are put together. Gossip sends on only
// what is news, so this bounds how old a change can be when it leaves the node.
const pulse = 250 * time.Millisecond

// vitals puts the newest values of this node together and tells the fleet.
type vitals struct {
	collect  func() fleet.Vital
	show     *watch.Value[fleet.Vital]
	announce func(fleet.Vital) error // nil on a node that has not joined
	log      *slog.Logger
}

func (vitals) String() string { return "vital signs" }

// Run collects until ctx ends.
func (v vitals) Run(ctx context.Context) error {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	refused := false
	for {
		now := v.collect()
		v.show.Store(now)
		if v.announce != nil {
			err := v.announce(now)
			if err != nil && !refused {
				v.log.Warn("vital signs not announced", "err", err, "remedy", "serve fewer models on this node")
			}
			refused = err != nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
