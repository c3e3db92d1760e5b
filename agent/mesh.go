package agent

import (
	"log/slog"
	"net/netip"

	"primespark/agent/config"
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
