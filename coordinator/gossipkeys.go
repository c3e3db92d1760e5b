package coordinator

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"

	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/coordinator/lead"
	"primespark/coordinator/liveness"
	"primespark/shared/gossip"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/run"
)

// makeGossipKey makes the key of a generation (RFC 5869). The secret is one that
// every coordinator has and no agent; the salt is in the agreed state. So the
// state, the log and their backups hold no key, and a coordinator that was shut
// out, which knows the secret, does not learn the salt.
func makeGossipKey(secret []byte, k fsm.GossipKey) ([]byte, error) {
	salt, err := hex.DecodeString(k.Salt)
	if err != nil {
		return nil, fmt.Errorf("salt of the gossip key of generation %d: %w", k.Gen, err)
	}
	return hkdf.Key(sha256.New, secret, salt, fmt.Sprintf("prime-spark gossip key %d", k.Gen), identity.KeySize)
}

// keyring makes the keys that the state asks for. That of the founding, generation
// 0, is made of nothing: it is taken from those that are there. A coordinator that
// joined when it was being dropped may not have it, and does without.
func keyring(g fsm.Gossip, secret []byte, have identity.Keyring) (identity.Keyring, error) {
	ring := identity.Keyring{Primary: g.Primary}
	for _, k := range g.Keys() {
		key := have.Key(k.Gen)
		if k.Salt != "" {
			var err error
			if key, err = makeGossipKey(secret, k); err != nil {
				return ring, err
			}
		}
		if key != nil {
			ring.Keys = append(ring.Keys, identity.GossipKey{Gen: k.Gen, Key: key})
		}
	}
	return ring, ring.Check()
}

// keysOf returns what makes the keyring of a state on this coordinator.
func keysOf(id *identity.Identity) func(fsm.State) (identity.Keyring, error) {
	return func(s fsm.State) (identity.Keyring, error) {
		return keyring(s.Gossip, id.SessionKey(), id.Keyring().Get())
	}
}

// followKeys keeps this coordinator's gossip keys as the state wants them: on its
// disk, and in force.
func followKeys(dir string, id *identity.Identity, node *consensus.Node, talk *gossip.Gossip, log *slog.Logger) run.Part {
	wanted := keysOf(id)
	return run.Func("gossip keys", func(ctx context.Context) error {
		failing := false
		for {
			state, changed := node.State()
			if state.Cluster.Name != "" { // the log has been read as far as that
				err := takeKeys(dir, id, talk, state, wanted, log)
				if err != nil && !failing {
					log.Error("gossip keys not changed, trying with the next change", "err", err, "remedy", "see that the state directory is writable and has room")
				}
				failing = err != nil
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

func takeKeys(dir string, id *identity.Identity, talk *gossip.Gossip, state fsm.State, wanted func(fsm.State) (identity.Keyring, error), log *slog.Logger) error {
	ring, err := wanted(state)
	if err != nil {
		return err
	}
	if ring.Equal(id.Keyring().Get()) {
		return nil
	}
	if err := id.SetKeyring(dir, ring); err != nil {
		return err
	}
	log.Info("gossip keys changed", "generations", ring.Generations(), "primary", ring.Primary)
	return talk.SetKeys(ring.All()...)
}

// holds tells in a beat which gossip keys this coordinator has.
func holds(id *identity.Identity) *heartbeat.Keys {
	ring := id.Keyring().Get()
	return &heartbeat.Keys{Primary: ring.Primary, Held: ring.Generations()}
}

// keysMissing returns what tells which nodes have yet to follow a change of the
// keys, as far as this coordinator hears them.
func keysMissing(self string, id *identity.Identity, living *liveness.Watch) func(fsm.State) []string {
	return func(s fsm.State) []string {
		held := living.Keys()
		held[self] = *holds(id)
		return lead.KeysMissing(s, held)
	}
}
