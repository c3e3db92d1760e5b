package coordinator

import (
	"crypto/tls"
	"log/slog"

	"primespark/coordinator/consensus"
	"primespark/coordinator/liveness"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/run"
)

// beat has this coordinator show the others that it lives, and tell them whom it
// hears, so that a broken link is told from a dead node.
func beat(name string, id *identity.Identity, node *consensus.Node, talk *gossip.Gossip, living *liveness.Watch, seen func() *mesh.Report, out Outside, log *slog.Logger) run.Part {
	return heartbeat.New(heartbeat.Config{
		Targets: func() (others []heartbeat.Target) {
			state, _ := node.State()
			for _, n := range state.Coordinators() {
				if n.Name != name && n.Addresses.API != "" {
					others = append(others, heartbeat.Target{Name: n.Name, API: n.Addresses.API})
				}
			}
			return others
		},
		Dial: out.Dial,
		TLS:  func(other string) *tls.Config { return id.ClientTLSFor(identity.Node(other, fleet.Coordinator)) },
		Say: func() heartbeat.Beat {
			b := heartbeat.Beat{Hears: new(living.Hears()), Keys: holds(id), Mesh: seen()}
			if self, ok := talk.View().Get().Find(name); ok {
				b.Member = &self.Member
				if self.Vital.Node == name { // it has said something of itself already
					b.Vital = &self.Vital
				}
			}
			return b
		},
		Log: log,
	})
}
