package agent

import (
	"crypto/tls"
	"log/slog"
	"slices"
	"strings"

	"primespark/agent/plan"
	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/overlay"
	"primespark/shared/wire"
)

// heart shows the coordinators that the node lives, and how it fares.
func heart(id *identity.Identity, follower *plan.Follower, place *presence, vital func() fleet.Vital, member *overlay.Member, out Outside, log *slog.Logger) *heartbeat.Beater {
	return heartbeat.New(heartbeat.Config{
		Targets: func() (all []heartbeat.Target) {
			for _, c := range follower.Coordinators() {
				if c.API != "" {
					all = append(all, heartbeat.Target{Name: c.Name, API: c.API})
				}
			}
			return all
		},
		Dial: out.Dial,
		TLS:  func(name string) *tls.Config { return id.ClientTLSFor(identity.Node(name, fleet.Coordinator)) },
		Say: func() heartbeat.Beat {
			ring := id.Keyring().Get()
			b := heartbeat.Beat{Member: place.Member(), Keys: &heartbeat.Keys{Primary: ring.Primary, Held: ring.Generations()}}
			if member != nil {
				b.Mesh = new(member.Report())
			}
			if v := vital(); v.Node != "" {
				b.Vital = &v
			}
			return b
		},
		Log: log,
	})
}

// proved is what gossip knows of the fleet, with the coordinators as they have
// proved themselves: whoever has the gossip key can speak there in any name. Those
// of the plan are coordinators and nobody else, once there is one, at the addresses
// that it gives; those that take this node's heartbeat are alive.
func proved(view fleet.View, known []wire.PlanCoordinator, connected map[string]string) fleet.View {
	if len(known) == 0 {
		return view
	}
	out := make(fleet.View, 0, len(view)+len(known))
	for _, n := range view {
		i := slices.IndexFunc(known, func(c wire.PlanCoordinator) bool { return c.Name == n.Name })
		switch {
		case i < 0 && n.Role == fleet.Coordinator:
			continue
		case i >= 0:
			n.Role, n.API = fleet.Coordinator, known[i].API
			if connected[n.Name] != "" {
				n.Liveness = fleet.Alive
			}
		}
		out = append(out, n)
	}
	for _, c := range known {
		if _, seen := out.Find(c.Name); !seen && connected[c.Name] != "" {
			out = append(out, fleet.Node{Member: fleet.Member{Name: c.Name, Role: fleet.Coordinator, API: c.API}, Liveness: fleet.Alive})
		}
	}
	slices.SortFunc(out, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
	return out
}
