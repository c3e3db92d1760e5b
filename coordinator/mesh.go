package coordinator

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"

	"primespark/coordinator/atlas"
	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/netaddr"
	"primespark/shared/overlay"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// openAtlas makes what hands out the map of the mesh, with the reports of those
// who are heard and this coordinator's own.
func (s *seat) openAtlas() *atlas.Atlas {
	return atlas.New(atlas.Config{
		Group: s.node, Signer: s.authority, Prefix: mesh.Prefix(identity.CAHash(s.id.CA())),
		Reports: func() map[string]mesh.Report {
			all := s.living.Mesh()
			if r := s.report(); r != nil {
				all[s.cfg.Name] = *r
			}
			return all
		},
		Lost: func() bool { return !standing(s.node.Status()).Quorum },
	})
}

// report is what this coordinator sees of the mesh; nil if it takes no part.
func (s *seat) report() *mesh.Report {
	if s.mesh == nil {
		return nil
	}
	return new(s.mesh.Report())
}

// openMesh makes this coordinator's end of the mesh, and what builds its tunnels; nil
// if it has none.
func (s *seat) openMesh(log *slog.Logger) (*overlay.Member, *meshnet.Tunnels, error) {
	if !s.cfg.Mesh.Enabled {
		return nil, nil, nil
	}
	c := s.cfg.Mesh
	var member *overlay.Member
	member, err := overlay.New(overlay.Config{
		Self: s.id.ID(), Authority: s.id.CA(), Dir: s.cfg.StateDir, KeyDir: identityDir(s.cfg), Site: c.Site, Log: log,
		Source: ownMesh{s.atlas, s.node, s.cfg.Name},
		Endpoints: func() []mesh.Endpoint {
			own, err := netaddr.Own()
			if err != nil {
				log.Debug("the host's addresses are not known, announcing the configured ones", "err", err)
			}
			return c.Candidates(own, member.Net().Get().Map, c.Hub, bestOf(own))
		},
		Hub: func() *mesh.Hub {
			if !c.Hub {
				return nil
			}
			return &mesh.Hub{Priority: c.Priority}
		},
	})
	if err != nil {
		return nil, nil, err
	}
	ports := meshnet.Ports{Gossip: meshnet.PortOf(s.cfg.Gossip.Listen)}
	for port, l := range map[*uint16]net.Listener{&ports.API: s.ports.api, &ports.Raft: s.ports.raft, &ports.Broker: s.ports.mqtt} {
		if l != nil {
			*port = meshnet.PortOf(l.Addr().String())
		}
	}
	return member, meshnet.NewTunnels(member, s.cfg.Name, c.Settings, ports, log), nil
}

// leaveMesh takes a coordinator whose mesh was switched off out of it.
func (s *seat) leaveMesh(log *slog.Logger) run.Part {
	return overlay.Leaver{
		Dir: s.cfg.StateDir, KeyDir: identityDir(s.cfg), Log: log,
		Host: func(ctx context.Context) error { return meshnet.Leave(ctx, s.cfg.Mesh.Socket, s.cfg.Name) },
		Group: func(ctx context.Context) error {
			_, err := s.node.Propose(ctx, "coordinator:"+s.cfg.Name, fsm.MeshLeave{Name: s.cfg.Name})
			return err
		},
	}
}

// meshRange is the range of IPv4 addresses that the mesh shall have; nil on a
// coordinator that takes no part in it, or has a network of its own in that range: it
// would be taken off the host, or the mesh would.
func (s *seat) meshRange(locals func(mesh.Map) ([]mesh.Local, error), log *slog.Logger) *netip.Prefix {
	if s.mesh == nil {
		return nil
	}
	wanted := s.cfg.Mesh.Range()
	m := s.mesh.Net().Get().Map
	m.IPv4 = wanted
	networks, err := locals(m)
	if err != nil {
		log.Warn("the networks of this host are not known, and mesh.ipv4_range is not compared with them", "err", err)
	}
	if clash, ok := errors.AsType[*problem.Error](m.Clash(networks)); ok {
		log.Error("mesh.ipv4_range is refused", "err", clash, "remedy", clash.Remedy)
		return nil
	}
	return &wanted
}

// bestOf is the address that others most likely reach; invalid if there is none.
func bestOf(own []netip.Addr) netip.Addr {
	if best := netaddr.Best(own); !best.IsLoopback() {
		return best
	}
	return netip.Addr{}
}

// ownMesh is the agreed state as the source of a coordinator's own map.
type ownMesh struct {
	*atlas.Atlas

	node *consensus.Node
	name string
}

// AnnounceMesh has the group take what this coordinator has at its end, unless it
// has it already.
func (o ownMesh) AnnounceMesh(ctx context.Context, a mesh.Announcement) error {
	state, _ := o.node.State()
	was, known := state.Mesh.Nodes[o.name]
	if known && (mesh.Node{Keys: was.Keys, Site: was.Site, Endpoints: was.Endpoints, Hub: was.Hub, Host: was.Host}).Says(a) {
		return nil
	}
	_, err := o.node.Propose(ctx, "coordinator:"+o.name, fsm.MeshAnnounce{Name: o.name, Keys: a.Keys, Site: a.Site, Endpoints: a.Endpoints, Hub: a.Hub, Host: a.Host})
	return err
}

var _ overlay.Source = ownMesh{}
