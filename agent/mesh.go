package agent

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"primespark/agent/config"
	"primespark/agent/doctor"
	"primespark/agent/plan"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/netaddr"
	"primespark/shared/overlay"
)

// openMesh makes this node's end of the mesh, and what builds its tunnels; nil if it
// takes no part. api is the port of the door that others come to.
func openMesh(cfg config.Config, id *identity.Identity, follower *plan.Follower, api uint16, log *slog.Logger) (*overlay.Member, *meshnet.Tunnels, error) {
	if !cfg.Mesh.Enabled {
		return nil, nil, nil
	}
	var member *overlay.Member
	member, err := overlay.New(overlay.Config{
		Self: id.ID(), Authority: id.CA(), Dir: cfg.StateDir, KeyDir: identityDir(cfg), Source: follower, Site: cfg.Mesh.Site, Log: log,
		Endpoints: func() []mesh.Endpoint {
			own, err := netaddr.Own()
			if err != nil {
				log.Debug("the host's addresses are not known, announcing the configured ones", "err", err)
			}
			return cfg.Mesh.Candidates(own, member.Net().Get().Map, false, netip.Addr{})
		},
	})
	if err != nil {
		return nil, nil, err
	}
	return member, meshnet.NewTunnels(member, id.ID().Name, cfg.Mesh.Socket, meshnet.Ports{API: api, Gossip: meshnet.PortOf(cfg.Gossip.Listen)}, cfg.Mesh.Port, log), nil
}

// meshOf is this node's end of the mesh as the doctor looks at it.
func meshOf(cfg config.Config, report *mesh.Report) doctor.Mesh {
	d := doctor.Mesh{Enabled: cfg.Mesh.Enabled, Report: report}
	if id, err := identity.Load(identityDir(cfg)); err == nil && cfg.Mesh.Enabled {
		// A map that is missing or damaged is the same to the doctor: there is none.
		d.Map, _ = mesh.Load(cfg.StateDir, id.CA(), id.ID().Cluster)
	}
	d.Locals = func() ([]mesh.Local, error) { return locals(d.Map) }
	return d
}

// locals are the networks that this host's interfaces are in, save the mesh's own.
func locals(m mesh.Map) (all []mesh.Local, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue // the interface went away meanwhile
		}
		for _, a := range addresses {
			p, err := netip.ParsePrefix(a.String())
			if _, own := m.At(p.Addr()); err == nil && !own && !p.Addr().IsLoopback() {
				all = append(all, mesh.Local{Prefix: p, Interface: i.Name})
			}
		}
	}
	return all, nil
}
