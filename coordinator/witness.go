package coordinator

import (
	"context"

	"primespark/coordinator/api"
	"primespark/shared/run"
	"primespark/shared/version"
)

// witness runs a member that votes and keeps the log, and does nothing else. Of
// the API it has what tells how it fares, on loopback.
func (s *seat) witness(ctx context.Context) error {
	probes := api.Server{
		Name: "probes", Listener: s.ports.loopback, Handler: api.Probes(s.conditions.All, s.metrics), Log: part(s.log, "probes"),
	}
	s.log.Info("witness is up", "cluster", s.id.ID().Cluster, "raft", s.ports.raft.Addr().String(),
		"gossip", s.talk.Addr(), "loopback", address(s.ports.loopback), "version", version.Get().String())
	err := run.All(ctx, append(s.parts(), probes)...)
	s.log.Info("witness has stopped")
	return err
}
