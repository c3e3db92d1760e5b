package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/notify"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// pulse is how often the newest values are put together. Gossip sends on only
// what is news, so this bounds how old a change can be when it leaves the node.
const pulse = 200 * time.Millisecond

// vitals puts the newest values of this node together and tells the fleet.
type vitals struct {
	collect  func() fleet.Vital
	show     *watch.Value[fleet.Vital]
	announce func(fleet.Vital) error // nil on a node that has not joined
	service  *notify.Notifier        // is told that the node is alive, and how it fares
	alive    func() error            // why it is not, though this loop is
	log      *slog.Logger
}

func (vitals) String() string { return "vital signs" }

// Run collects until ctx ends.
func (v vitals) Run(ctx context.Context) error {
	tick := time.NewTimer(run.Due(pulse))
	defer tick.Stop()
	refused, deaf, stuck := false, false, false
	for {
		now := v.collect()
		v.show.Store(now)
		if err := v.alive(); err != nil {
			if !stuck {
				v.log.Error("the agent hangs, and lets the service manager start it anew", "err", err)
			}
			stuck = true
		} else if err := v.service.Beat(sentence(now, v.announce != nil)); err != nil && !deaf {
			v.log.Warn("the service manager was not told that this node is alive", "err", err)
			deaf = true
		}
		if v.announce != nil {
			err := v.announce(now)
			if err != nil && !refused {
				v.log.Warn("vital signs not announced", "err", err, "remedy", "serve fewer models on this node")
			}
			refused = err != nil
		}
		select {
		case <-tick.C:
			tick.Reset(run.Due(pulse))
		case <-ctx.Done():
			if err := v.service.Stopping(); err != nil {
				v.log.Debug("the service manager was not told that this node stops", "err", err)
			}
			return nil
		}
	}
}

// sentence says how the node fares, for "systemctl status".
func sentence(v fleet.Vital, joined bool) string {
	serves := fmt.Sprintf("Serves %d models", len(v.Models))
	if len(v.Models) == 1 {
		serves = "Serves " + v.Models[0].Name
	}
	switch {
	case !v.Ready:
		return fmt.Sprintf("Not ready (%s). %s.", strings.Join(v.Reasons, ", "), serves)
	case !joined:
		return serves + " to this host only; to make it part of a cluster: prime-spark-agent join CODE"
	}
	return fmt.Sprintf("%s, mode %s.", serves, v.Mode)
}
