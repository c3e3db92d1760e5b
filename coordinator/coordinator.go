// Package coordinator is one of the processes that agree on what the fleet should
// be: it wires the parts of the daemon. DESIGN.md tells how they work together.
package coordinator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/api"
	"primespark/coordinator/backup"
	"primespark/coordinator/broker"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/dispatch"
	"primespark/coordinator/enroll"
	"primespark/coordinator/events"
	"primespark/coordinator/fsm"
	"primespark/coordinator/ingest"
	"primespark/coordinator/lead"
	"primespark/coordinator/tasks"
	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/netlimit"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/version"
)

// Run runs a coordinator until ctx ends, and begins it anew when its host is reached at
// another address.
func Run(ctx context.Context, cfg config.Config, out Outside) error {
	for {
		if err := sit(ctx, cfg, out); ctx.Err() != nil || !errors.Is(err, errMoved) {
			return err
		}
	}
}

// sit runs a coordinator at one address. It is straight-line wiring: what is opened first
// is used by what comes later and closed last.
func sit(ctx context.Context, cfg config.Config, out Outside) error {
	s, err := enter(ctx, cfg, out)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // asked to stop before it had begun
	}
	if err != nil {
		return err
	}
	defer s.close()
	if cfg.Role == config.Witness {
		return s.witness(ctx, out.Spare)
	}
	cfg = s.cfg
	id, log, metrics, ports, node, talk, living, conditions := s.id, s.log, s.metrics, s.ports, s.node, s.talk, s.living, s.conditions

	agents := out.Agents
	if agents == nil {
		agents = out.Dial
	}
	transport := dispatch.NewTransport(agents, func(agent string) *tls.Config { return id.ClientTLSFor(identity.Node(agent, fleet.Agent)) })
	defer transport.CloseIdleConnections()
	dispatcher := dispatch.New(dispatch.Config{
		Self: cfg.Name, Views: living.View(), States: func() map[string]string { return decided(node) },
		Transport: transport, Deadline: cfg.Dispatch.Deadline.D(), Log: part(log, "dispatch"), Registry: metrics,
	})
	keys := func() (backup.Keys, error) { return clusterKeys(cfg, id) }
	backups, err := keepBackups(cfg, keys, node, part(log, "backup"))
	if err != nil {
		return err
	}
	records, err := openHistory(cfg, part(log, "history"), metrics)
	if err != nil {
		return err
	}
	defer func() { _ = records.Close() }() // all that was acknowledged is on the disk
	intake, err := ingest.New(ingest.Config{
		Self: cfg.Name, Store: records, State: func() fsm.State { s, _ := node.State(); return s },
		Conditions: conditions, Log: part(log, "ingest"), Metrics: metrics,
	})
	if err != nil {
		return err
	}
	watch, err := alertLoops(cfg, id, node, living.View().Get, out, part(log, "alerts"))
	if err != nil {
		return err
	}
	copies, err := sinkParts(cfg, records, node, conditions, part(log, "sinks"), metrics)
	if err != nil {
		return err
	}
	logs, hangUp := ingest.NewReader(out.Dial, func(name string) *tls.Config { return id.ClientTLSFor(identity.Node(name, fleet.Coordinator)) })
	defer hangUp()
	happened := events.NewLog()
	desk := tasks.New(node, metrics)
	desk.Gone = func(name string) bool {
		n, seen := living.View().Get().Find(name)
		return seen && n.Liveness == fleet.Dead
	}
	shelf, peers, err := keepObjects(cfg, id, node, out, part(log, "objects"), metrics)
	if err != nil {
		return err
	}
	defer peers.CloseIdleConnections()
	leases := lead.NewLeases(node, living.Dead, part(log, "leases"))
	node.OnAsk(leases.Answer)
	front, err := api.New(api.Config{
		Self: cfg.Name, Group: node, Members: node, Standing: func() api.Standing { return apiStanding(node.Status()) },
		Views: living.View(), Gateway: dispatcher, Ear: living, Atlas: s.atlas, GossipKeys: keysOf(id), KeysMissing: keysMissing(cfg.Name, id, living), Enroller: enrollment{s.enroller}, Tasks: desk, Events: happened,
		MostTasks: cfg.Tasks.Max, MostBytes: int(cfg.Tasks.MaxBytes), Objects: shelf,
		Health: conditions.All, SessionKey: id.SessionKey(), MaxBody: int64(cfg.HTTP.MaxBody),
		Backups: saver{cfg, keys}, History: chronicle{intake, records},
		Log: part(log, "api"), Registry: metrics,
	})
	if err != nil {
		return err
	}

	parts := append(s.parts(),
		founding(identityDir(cfg), id, node),
		lead.Part(node.Leading(), part(log, "lead"),
			run.Func("membership", node.KeepMembers), lead.Prune(node, part(log, "prune")), leases, lead.Tick(node, part(log, "tasks")),
			lead.Mesh(node, s.meshRange(mesh.Map.Locals, part(log, "mesh")), part(log, "mesh")),
			lead.GossipKeys(node, cfg.Name, func() heartbeat.Keys { return *holds(id) }, living.Keys, part(log, "gossip keys"))),
		desk,
		shelf,
		lead.Part(node.Leading(), part(log, "backup"), backups...),
		backupHealth(cfg.Backup, node.State, conditions),
		&events.Watcher{
			Self: cfg.Name, Log: happened, State: node.State, Views: living.View(),
			Group: func() events.Standing { return standing(node.Status()) },
		},
		lead.Yield{
			Self: cfg.Name, Leading: node.Leading(), Heirs: node.Heirs, View: living.View().Get,
			Transfer: node.TransferLeadership, Log: part(log, "yield"),
		},
		dispatcher,
		records,
		intake.Follow(logs),
		front,
		api.Trends{API: front},
		api.Server{Name: "api", Listener: netlimit.Listen(ports.api, crowd, part(log, "api")), TLS: ports.tls(cfg, id), Handler: front.Handler(), Stop: front.Stop, Log: part(log, "api")},
	)
	if ports.loopback != nil {
		parts = append(parts, api.Server{
			Name: "loopback api", Listener: ports.loopback, Handler: front.Loopback(api.Role(cfg.HTTP.LoopbackRole)),
			Stop: front.Stop, Log: part(log, "api"),
		})
	}
	if cfg.MQTT.Broker != "" {
		listener, err := listener(cfg, id, intake, out)
		if err != nil {
			return err
		}
		parts = append(parts, lead.Part(node.Leading(), part(log, "ingest"), listener))
	}
	parts = append(parts, copies...)
	parts = append(parts, lead.Part(node.Leading(), part(log, "alerts"), watch...))
	if ports.mqtt != nil {
		ports.mqtt = netlimit.Listen(ports.mqtt, brokerCrowd, part(log, "broker"))
		b, err := newBroker(cfg, id, ports, s.refused, out, metrics)
		if err != nil {
			return err
		}
		desk := intake.NewDesk(cfg.MQTT.Prefix, id.ID().Cluster, b.Publish)
		if err := b.Consume(desk.Message); err != nil {
			return err
		}
		parts = append(parts, desk)
		parts = append(parts, b)
	}
	log.Info("coordinator is up", "cluster", id.ID().Cluster, "api", ports.api.Addr().String(), "raft", ports.raft.Addr().String(),
		"gossip", talk.Addr(), "loopback", address(ports.loopback), "mqtt", address(ports.mqtt), "version", version.Get().String())
	err = run.All(ctx, parts...)
	log.Info("coordinator has stopped")
	return err
}

// load reads who this coordinator is.
func load(cfg config.Config) (*identity.Identity, error) {
	id, err := identity.Load(identityDir(cfg))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem.New(problem.NotFound,
			"Found a cluster with prime-spark-coordinator init, or join one with prime-spark-coordinator join CODE.",
			"This host is not a coordinator of any cluster yet: there is no identity in %s.", cfg.StateDir)
	case err != nil:
		return nil, fmt.Errorf("load the coordinator's identity: %w", err)
	case id.ID().Role != fleet.Coordinator:
		return nil, problem.New(problem.Conflict, "Give the coordinator a state_dir of its own.",
			"The identity in %s is that of %s %s, not of a coordinator.", cfg.StateDir, id.ID().Role, id.ID().Name)
	}
	return id, nil
}

// founding finishes what init or restore began, on the first run.
func founding(dir string, id *identity.Identity, node *consensus.Node) run.Part {
	return run.Func("founding", func(ctx context.Context) error {
		for _, finish := range []func() error{
			func() error { return enroll.Bootstrap(ctx, dir, id, node) },
			func() error { return returning(ctx, dir, id, node) },
		} {
			if err := until(ctx, finish); err != nil {
				return err
			}
		}
		<-ctx.Done()
		return nil
	})
}

// electing reports whether err is of a group that has no leader yet, as on a
// host that is busy while it boots.
func electing(err error) bool {
	return problem.Is(err, problem.NoLeader) || problem.Is(err, problem.NoQuorum) || errors.Is(err, consensus.ErrUnknown)
}

// decided returns what was decided about each agent, for routing.
func decided(node *consensus.Node) map[string]string {
	state, _ := node.State()
	states := make(map[string]string, len(state.Nodes))
	for name, n := range state.Nodes {
		if n.Role == fleet.Agent {
			states[name] = string(n.State)
		}
	}
	return states
}

// seeds are where this coordinator looks for the fleet: what it was configured
// with, what joining told, and where the agreed state's nodes were last.
func seeds(cfg config.Config, id *identity.Identity, node *consensus.Node) []string {
	all := map[string]bool{}
	for _, s := range append(append([]string{}, cfg.Gossip.Seeds...), id.Peers().Gossip...) {
		all[s] = true
	}
	state, _ := node.State()
	for _, n := range state.Coordinators() {
		if n.Name != cfg.Name && n.Active() && n.Addresses.Gossip != "" {
			all[n.Addresses.Gossip] = true
		}
	}
	return sorted(maps.Keys(all))
}

// newBroker makes the embedded MQTT broker: in the clear on loopback, by the
// cluster's certificates elsewhere.
func newBroker(cfg config.Config, id *identity.Identity, p *ports, refused func(identity.ID, string) bool, out Outside, metrics *prometheus.Registry) (*broker.Broker, error) {
	b := broker.Config{Prefix: cfg.MQTT.Prefix, Cluster: id.ID().Cluster, Refused: refused}
	if host, ok := p.mqtt.Addr().(*net.TCPAddr); !ok || !host.IP.IsLoopback() {
		b.TLS = id.ServerTLS(tls.RequireAnyClientCert)
	}
	return broker.New(p.mqtt, b, part(out.Log.With("node", cfg.Name), "broker"), metrics)
}
