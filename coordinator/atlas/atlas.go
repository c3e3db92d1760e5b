// Package atlas hands out the map of the mesh: it makes the map of the agreed state,
// signs each version once, and has those who ask wait for the next one. Beside the
// map go hints, of what the hubs report; they are in memory only.
package atlas

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Times of an Atlas.
const (
	look     = time.Second            // between two looks at what is no change of the state
	pause    = 250 * time.Millisecond // after a change, so that many at once are one map
	hintsFor = 5 * time.Second        // that hints are handed out as they are
)

// maxHints bounds what goes beside a map.
const maxHints = 2 * mesh.MaxNodes

// A Group is the agreed state.
type Group interface {
	// State returns the newest state known here, and a channel that closes at the next.
	State() (fsm.State, <-chan struct{})
}

// Config is what an Atlas works with.
type Config struct {
	Group   Group
	Signer  crypto.Signer // the cluster's authority
	Prefix  netip.Prefix  // mesh.Prefix of it
	Reports func() map[string]mesh.Report
	// Lost reports whether this coordinator has lost the group: then others know more,
	// and nobody shall wait here.
	Lost func() bool
}

// An Atlas is safe to share.
type Atlas struct {
	cfg Config

	mu     sync.Mutex
	sealed mesh.Signed // of the version below
	newest uint64
	hints  []mesh.Hint
	sum    string
	as     time.Time // of the hints
}

// New returns an Atlas.
func New(cfg Config) *Atlas { return &Atlas{cfg: cfg} }

// Signed is the signed map of a state; nothing while nobody takes part.
func (a *Atlas) Signed(s fsm.State) (mesh.Signed, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.Mesh.Version == 0 || s.Mesh.Version == a.newest {
		return a.sealed, nil
	}
	sealed, err := mesh.Seal(s.MeshMap(a.cfg.Prefix), a.cfg.Signer)
	if err != nil {
		return sealed, err
	}
	if s.Mesh.Version > a.newest { // a state that was read late changes nothing
		a.sealed, a.newest = sealed, s.Mesh.Version
	}
	return sealed, nil
}

// Hints are where hubs see the nodes, and a sum by which a change is told.
func (a *Atlas) Hints() ([]mesh.Hint, string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.as.IsZero() && time.Since(a.as) < hintsFor {
		return a.hints, a.sum, nil
	}
	hints := collect(a.cfg.Reports())
	sum := ""
	if len(hints) > 0 {
		b, err := json.Marshal(hints)
		if err != nil {
			return nil, "", fmt.Errorf("encode hints of the mesh: %w", err)
		}
		h := sha256.Sum256(b)
		sum = hex.EncodeToString(h[:8])
	}
	a.hints, a.sum, a.as = hints, sum, time.Now()
	return a.hints, a.sum, nil
}

// collect makes hints of the hubs' reports, in the order of nodes and hubs.
func collect(reports map[string]mesh.Report) (all []mesh.Hint) {
	for hub, r := range reports {
		for _, s := range r.Sightings {
			all = append(all, mesh.Hint{Sighting: s, Hub: hub})
		}
	}
	slices.SortFunc(all, func(a, b mesh.Hint) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Hub, b.Hub), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	return all[:min(len(all), maxHints)]
}

// Mesh waits for a map that is newer than a version, or for other hints than those
// of a sum. When the wait or ctx is over, the present ones will do.
func (a *Atlas) Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		s, changed := a.cfg.Group.State()
		b, err := a.body(s)
		if err != nil || b.Version > version || b.Version > 0 && b.Version == version && b.Sum != sum || ctx.Err() != nil {
			return b, err
		}
		select {
		case <-changed:
			rest(ctx)
		case <-tick.C:
			if a.cfg.Lost() {
				return b, problem.New(problem.NoQuorum, "Ask another coordinator.", "This coordinator has lost the group.")
			}
		case <-ctx.Done():
		}
	}
}

func rest(ctx context.Context) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (a *Atlas) body(s fsm.State) (b wire.MeshBody, err error) {
	b.Version = s.Mesh.Version
	if b.Signed, err = a.Signed(s); err != nil {
		return b, err
	}
	b.Hints, b.Sum, err = a.Hints()
	return b, err
}
