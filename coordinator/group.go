package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/events"
	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/notify"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// look is how often the group is looked at: raft tells of no change of contact.
const look = 250 * time.Millisecond

// silence is how long a follower may go without a word from its leader and
// still count as part of a group with a quorum.
const silence = 3 * time.Second

// acquaintance is how long a coordinator that starts waits for word from nodes
// that it knows of, before it takes them to be gone and answers for the fleet.
const acquaintance = 5 * time.Second

// met reports whether the view has every node that takes part, so that what this
// coordinator shows and where it sends requests is not half of the truth.
func met(node *consensus.Node, view fleet.View) bool {
	state, _ := node.State()
	for name, n := range state.Nodes {
		if _, seen := view.Find(name); !seen && n.Active() {
			return false
		}
	}
	return len(state.Nodes) > 0
}

// standing tells how the raft group looks from one coordinator.
func standing(s consensus.Status) events.Standing {
	quorum := s.Leader != "" && (s.Leader == s.Name || s.LastContact >= 0 && s.LastContact < silence)
	return events.Standing{Leader: s.Leader, Quorum: quorum}
}

// modeOf tells how much of the cluster this coordinator sees.
func modeOf(self string, s events.Standing, view fleet.View) fleet.Mode {
	if s.Quorum {
		return fleet.Normal
	}
	for _, n := range view {
		if n.Name != self && n.Liveness == fleet.Alive {
			return fleet.Degraded
		}
	}
	return fleet.Isolated
}

// A pulse part looks at the group and tells the others how this coordinator
// fares; a missing quorum is a condition.
type pulse struct {
	name       string
	status     func() consensus.Status
	view       func() fleet.View
	met        func() bool // gossip has found those that the agreed state knows
	conditions *health.Registry
	announce   func(fleet.Vital) error
	mode       *watch.Value[fleet.Mode]
	bearing    *bearing
	service    *notify.Notifier // is told that the coordinator is alive, and how it fares
	moving     func() bool      // it ends to begin anew
	log        *slog.Logger
}

func (pulse) String() string { return "pulse" }

// Run looks until ctx ends.
func (p pulse) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	refused := false
	patience, acquainted := time.Now().Add(acquaintance), false
	for {
		if !acquainted && (p.met() || time.Now().After(patience)) {
			acquainted = true
			p.conditions.Clear(health.Starting)
		}
		err := p.beat()
		if err != nil && !refused {
			p.log.Warn("vital signs not announced", "err", err)
		}
		refused = err != nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			if p.moving() {
				return nil // the service goes on
			}
			if err := p.service.Stopping(); err != nil {
				p.log.Debug("the service manager was not told that this coordinator stops", "err", err)
			}
			return nil
		}
	}
}

func (p pulse) beat() error {
	group := standing(p.status())
	removed := slices.Contains(p.conditions.All().Codes(), string(health.Removed))
	if group.Quorum || removed { // whoever is removed is not missing anybody
		p.conditions.Clear(health.NoQuorum)
	} else {
		p.conditions.Set(health.NoQuorum, health.Unready, "The coordinators have no leader, so nothing can be decided; inference goes on.",
			"Start the coordinators that are down, or see whether they reach each other on the raft port.")
	}
	if now := modeOf(p.name, group, p.view()); now != p.mode.Get() {
		p.mode.Store(now)
	}
	wrong := p.conditions.All()
	if err := p.service.Beat(sentence(p.name, group, wrong.Reasons().Codes())); err != nil {
		p.log.Debug("the service manager was not told that this coordinator is alive", "err", err)
	}
	return p.announce(fleet.Vital{Mode: p.mode.Get(), Ready: len(wrong.Reasons()) == 0, Reasons: wrong.Codes(), Seat: p.bearing.tell(time.Now())})
}

// sentence says how the coordinator fares, for "systemctl status".
func sentence(self string, group events.Standing, wrong []string) string {
	var s string
	switch {
	case !group.Quorum:
		s = "Sees no quorum: nothing can be decided, inference goes on."
	case group.Leader == self:
		s = "Leads the group."
	default:
		s = "Follows " + group.Leader + "."
	}
	if len(wrong) > 0 {
		s = fmt.Sprintf("Not ready (%s). %s", strings.Join(wrong, ", "), s)
	}
	return s
}

// calm is how long those rest who look at every change of the state though few
// concern them: a busy queue changes it a thousand times a second.
const calm = 100 * time.Millisecond

// announce keeps the agreed state's picture of this coordinator right: where it
// is reached, which version it runs, and whether it is a witness.
func announce(node *consensus.Node, self fsm.NodeAnnounce, lone bool, log *slog.Logger) run.Part {
	return run.Func("announcement", func(ctx context.Context) error {
		refused := false
		for {
			state, changed := node.State()
			was, known := state.Nodes[self.Name]
			if lone && known {
				self.Addresses = was.Addresses
			}
			if known && was.State != fsm.Revoked && (fsm.NodeAnnounce{Name: was.Name, Addresses: was.Addresses, Version: was.Version, Witness: was.Witness}) != self {
				err := node.Announce(ctx, self)
				if err != nil && ctx.Err() == nil && !refused && !electing(err) {
					log.Warn("addresses not announced, trying on", "err", err)
				}
				refused = err != nil && !electing(err)
				if !run.Sleep(ctx, run.Jitter(time.Second)) {
					return nil
				}
				continue
			}
			if !run.Sleep(ctx, calm) {
				return nil
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	})
}
