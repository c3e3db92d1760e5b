package agent

import (
	"log/slog"
	"net/netip"

	"primespark/agent/config"
	"primespark/agent/plan"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/netaddr"
	"primespark/shared/overlay"
)

// openMesh makes this node's end of the mesh; nil if it takes no part.
func openMesh(cfg config.Config, id *identity.Identity, follower *plan.Follower, log *slog.Logger) (*overlay.Member, error) {
	if !cfg.Mesh.Enabled {
		return nil, nil
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
	return member, err
}
