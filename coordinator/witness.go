package coordinator

import (
	"context"
	"time"

	"primespark/coordinator/api"
	"primespark/shared/run"
	"primespark/shared/version"
)

// witness runs a member that votes and keeps the log, and does nothing else. Of
// the API it has what tells how it fares, on loopback.
func (s *seat) witness(ctx context.Context, spare func() error) error {
	probes := api.Server{
		Name: "probes", Listener: s.ports.loopback, Handler: api.Probes(s.conditions.All, s.metrics), Log: part(s.log, "probes"),
	}
	s.log.Info("witness is up", "cluster", s.id.ID().Cluster, "raft", s.ports.raft.Addr().String(),
		"gossip", s.talk.Addr(), "loopback", address(s.ports.loopback), "version", version.Get().String())
	err := run.All(ctx, append(s.parts(), probes, s.sparing(spare))...)
	s.log.Info("witness has stopped")
	return err
}

// When a witness gives memory back: once it has started, and at times after that.
const (
	firstSpare = 10 * time.Second
	spareEvery = 15 * time.Second
)

// sparing keeps the memory of a witness small; spare is nil where nobody looks.
func (s *seat) sparing(spare func() error) run.Part {
	return run.Func("sparing", func(ctx context.Context) error {
		if spare == nil {
			<-ctx.Done()
			return nil
		}
		told := false
		for wait := firstSpare; run.Sleep(ctx, wait); wait = spareEvery {
			if err := spare(); err != nil && !told {
				told = true
				s.log.Warn("memory not given back, the witness needs some MiB more", "err", err)
			}
		}
		return nil
	})
}
