package agent

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"primespark/agent/config"
	"primespark/agent/plan"
	"primespark/agent/record"
	"primespark/shared/doctor"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/netaddr"
	"primespark/shared/overlay"
	"primespark/shared/run"
	"primespark/shared/telemetry"
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
	return member, meshnet.NewTunnels(member, id.ID().Name, cfg.Mesh, meshnet.Ports{API: api, Gossip: meshnet.PortOf(cfg.Gossip.Listen)}, log), nil
}

// leaveMesh takes a node whose mesh was switched off out of it.
func leaveMesh(cfg config.Config, id *identity.Identity, follower *plan.Follower, log *slog.Logger) run.Part {
	return overlay.Leaver{
		Dir: cfg.StateDir, KeyDir: identityDir(cfg), Group: follower.LeaveMesh, Log: log,
		Host: func(ctx context.Context) error { return meshnet.Leave(ctx, cfg.Mesh.Socket, id.ID().Name) },
	}
}

// meshOf is this node's end of the mesh as the doctor looks at it.
func meshOf(cfg config.Config, report *mesh.Report) doctor.Mesh {
	d := doctor.Mesh{Enabled: cfg.Mesh.Enabled, Report: report}
	if id, err := identity.Load(identityDir(cfg)); err == nil && cfg.Mesh.Enabled {
		// A map that is missing or damaged is the same to the doctor: there is none.
		d.Map, _ = mesh.Load(cfg.StateDir, id.CA(), id.ID().Cluster)
	}
	d.Locals = d.Map.Locals
	return d
}

// linkSamples records how the way to the hub fares that packets go through.
func linkSamples(member interface{ Report() mesh.Report }, recorder *record.Recorder, every time.Duration, log *slog.Logger) run.Part {
	return run.Func("mesh samples", func(ctx context.Context) error {
		for run.Sleep(ctx, every) {
			fields := linkFields(member.Report())
			if fields == nil {
				continue
			}
			if err := recorder.Record(telemetry.Mesh, telemetry.Fields(fields)); err != nil {
				log.Warn("the mesh's links not recorded", "err", err)
			}
		}
		return nil
	})
}

// linkFields is the round trip to the hub in seconds, and the part of the last probes
// that it did not answer. Without a hub that answers there is no round trip, and all
// is lost; nil if there are no tunnels.
func linkFields(r mesh.Report) map[string]float64 {
	if len(r.Links) == 0 {
		return nil
	}
	for _, l := range r.Links {
		if l.Peer == r.Hub && l.Up {
			return map[string]float64{"rtt_seconds": l.RTT / 1000, "loss": l.Loss}
		}
	}
	return map[string]float64{"loss": 1}
}
