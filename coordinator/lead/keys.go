package lead

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"slices"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// Times of a change of the gossip key. A node that does not follow within stepTime,
// since it is off or cut off, is not waited for: it gets the keys with its plan, or
// at the latest when it starts. Two steps of that and the look make less than the
// 60 s after which a node that was shut out must hear nothing.
const (
	keysLook = 500 * time.Millisecond
	stepTime = 20 * time.Second
)

// NewSalt makes what the next gossip key is made of.
func NewSalt() string {
	var b [32]byte
	rand.Read(b[:]) // never fails, by its documentation
	return hex.EncodeToString(b[:])
}

// GossipKeys is the loop that changes the gossip key when somebody was shut out who
// knows it, and that takes each change through its steps. holders are the nodes
// that are heard now, with the keys that they say they hold; self is this
// coordinator, which is not among them.
func GossipKeys(g Group, self string, own func() heartbeat.Keys, holders func() map[string]heartbeat.Keys, log *slog.Logger) run.Part {
	return run.Func("gossip keys", func(ctx context.Context) error {
		var seen fsm.Gossip // the step that is waited for
		var since time.Time
		for {
			s, changed := g.State()
			if now := s.Gossip; now.Target != seen.Target || now.Primary != seen.Primary || since.IsZero() {
				seen, since = now, time.Now()
			}
			held := holders()
			held[self] = own()
			command := nextStep(s, held, time.Since(since))
			if command != nil {
				if _, err := g.Propose(ctx, Actor, command); err != nil && ctx.Err() == nil {
					if !problem.Is(err, problem.NoLeader) && !problem.Is(err, problem.NoQuorum) && !problem.Is(err, problem.Deadline) && !problem.Is(err, problem.Conflict) {
						return err
					}
					log.Debug("gossip key not changed this time", "err", err) // the next look, or the next leader
				}
			}
			if !run.Sleep(ctx, keysLook) { // a busy queue is no reason to look at each change
				return nil
			}
			if s.Gossip.Settled() && !s.GossipDue() {
				select {
				case <-changed:
				case <-ctx.Done():
					return nil
				}
			}
		}
	})
}

// nextStep is what is to be done about the gossip key of a state, whose present
// step has lasted so long; nil if nothing is.
func nextStep(s fsm.State, held map[string]heartbeat.Keys, lasted time.Duration) fsm.Command {
	g := s.Gossip
	switch {
	case s.Cluster.Name == "":
		return nil
	case s.GossipDue():
		return fsm.GossipRotate{Salt: NewSalt(), Why: "a node was shut out that knows the old key"}
	case g.Settled():
		return nil
	case g.Target != g.Primary && (lasted >= stepTime || len(KeysMissing(s, held)) == 0):
		return fsm.GossipSwitch{Gen: g.Target}
	case g.Target == g.Primary && (lasted >= stepTime || len(KeysMissing(s, held)) == 0):
		return fsm.GossipDrop{Gen: g.Target}
	}
	return nil
}

// KeysMissing are the nodes that have not followed the present step, of those that
// take part, by name. Whoever is not heard is among them.
func KeysMissing(s fsm.State, held map[string]heartbeat.Keys) (names []string) {
	g := s.Gossip
	for _, n := range s.NodeList() {
		if !n.Active() || n.Role == fleet.Coordinator && n.Addresses.API == "" {
			continue
		}
		k, heard := held[n.Name]
		done := slices.Contains(k.Held, g.Target)
		if g.Target == g.Primary {
			done = k.Primary == g.Primary && done
		}
		if !heard || !done {
			names = append(names, n.Name)
		}
	}
	return names
}
