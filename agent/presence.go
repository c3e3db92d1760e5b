package agent

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/identity"
	"primespark/shared/netaddr"
	"primespark/shared/overlay"
	"primespark/shared/run"
	"primespark/shared/version"
)

// roving is how often the host's addresses are looked at: a Pi often boots before
// its network, and moves to another one without being told.
const roving = 5 * time.Second

// presence is this node's place in the fleet: its end of the gossip, and the
// addresses that it tells the others. When those change it leaves and comes back
// under the new ones. It is a part of a node that has joined; without a network
// it tries on, and the node serves its own host meanwhile.
type presence struct {
	cfg     config.Config
	id      *identity.Identity
	door    api.Listener // that the others reach
	out     Outside
	log     *slog.Logger
	metrics prometheus.Registerer
	own     func() ([]netip.Addr, error)
	fleet   func() int                  // how many nodes there are, as the plan says
	seeds   func() []string             // where the coordinators gossip, as the plan says
	mesh    *overlay.Member             // nil if the node gossips outside of the mesh
	now     atomic.Pointer[incarnation] // nil before the first
}

// An incarnation is the presence under one pair of addresses.
type incarnation struct {
	talk        *gossip.Gossip
	self        fleet.Member
	api, gossip string // host:port
}

func (*presence) String() string { return "presence" }

// View is the fleet as it was last seen, this node included.
func (p *presence) View() fleet.View {
	if i := p.now.Load(); i != nil {
		return i.talk.View().Get()
	}
	return nil
}

// Announce tells the others how the node fares.
func (p *presence) Announce(v fleet.Vital) error {
	if i := p.now.Load(); i != nil {
		return i.talk.Announce(v)
	}
	return nil // said when there is somebody to hear it
}

// Member is what the node says of itself; nil before it has an address.
func (p *presence) Member() *fleet.Member {
	if i := p.now.Load(); i != nil {
		return &i.self
	}
	return nil
}

// Addresses are where the others reach the node, by what they serve.
func (p *presence) Addresses() map[string]string {
	if i := p.now.Load(); i != nil {
		return maps.Clone(map[string]string{"api": i.api, "gossip": i.gossip})
	}
	return map[string]string{}
}

// Run gossips until ctx ends.
func (p *presence) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := p.once(ctx); err != nil {
			return err
		}
	}
	return nil
}

// once gossips until ctx ends or the addresses change.
func (p *presence) once(ctx context.Context) error {
	own, err := p.own()
	if err != nil {
		return err
	}
	reached, err := netaddr.Advertise(p.cfg.HTTP.Advertise, p.door.Addr(), own)
	if err != nil {
		return err
	}
	ring := p.id.Keyring().Get()
	keys := ring.All()
	c := gossip.Config{
		Size:    p.fleet(),
		Self:    fleet.Member{Name: p.cfg.Name, Role: fleet.Agent, API: reached, Version: version.Number},
		Cluster: p.id.ID().Cluster, Key: keys[0], Also: keys[1:], Bind: p.cfg.Gossip.Listen, Advertise: p.cfg.Gossip.Advertise,
		Seeds: func() []string { return slices.Concat(p.id.Peers().Gossip, p.cfg.Gossip.Seeds, p.seeds()) },
	}
	if p.mesh != nil {
		p.mesh.Gossip(&c, p.cfg.Gossip.Listen)
	}
	if p.out.Gossip != nil {
		p.out.Gossip(&c)
	}
	talk, err := gossip.New(c, p.log, p.metrics)
	if err != nil {
		return err
	}
	p.now.Store(&incarnation{talk, c.Self, reached, talk.Addr()})
	p.log.Info("reached by the others at", "api", reached, "gossip", talk.Addr())
	here, end := context.WithCancel(ctx)
	defer end()
	return run.All(here, talk, p.followKeys(talk, ring), run.Func("rover", func(ctx context.Context) error {
		p.settled(ctx, reached)
		end()
		<-ctx.Done() // so that All takes it for the end that it is
		return nil
	}))
}

// followKeys keeps the keys of the gossip as the node has them.
func (p *presence) followKeys(talk *gossip.Gossip, used identity.Keyring) run.Part {
	return run.Func("gossip keys", func(ctx context.Context) error {
		for {
			ring, changed := p.id.Keyring().Load()
			if !ring.Equal(used) {
				if err := talk.SetKeys(ring.All()...); err != nil {
					return err
				}
				used = ring
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// settled returns when the node would tell another address, or ctx ends.
func (p *presence) settled(ctx context.Context, reached string) {
	failing := false
	for run.Sleep(ctx, roving) {
		own, err := p.own()
		if err != nil {
			if !failing {
				p.log.Warn("cannot look at the host's addresses", "err", err)
			}
			failing = true
			continue
		}
		failing = false
		if now, err := netaddr.Advertise(p.cfg.HTTP.Advertise, p.door.Addr(), own); err == nil && now != reached {
			p.log.Info("the host's address has changed, announcing the new one", "was", reached, "is", now)
			return
		}
	}
}
