package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/atlas"
	"primespark/coordinator/config"
	"primespark/coordinator/consensus"
	"primespark/coordinator/disk"
	"primespark/coordinator/enroll"
	"primespark/coordinator/fsm"
	"primespark/coordinator/liveness"
	"primespark/coordinator/pki"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/meshnet"
	"primespark/shared/overlay"
	"primespark/shared/run"
	"primespark/shared/sabotage"
	"primespark/shared/statedir"
	"primespark/shared/version"
	"primespark/shared/watch"
)

// A seat is what every member of the group has, a witness too: its place in
// raft and in gossip, and an eye on its disk.
type seat struct {
	cfg        config.Config
	id         *identity.Identity
	log        *slog.Logger
	metrics    *prometheus.Registry
	authority  *pki.Authority
	ports      *ports
	conditions *health.Registry
	node       *consensus.Node
	talk       *gossip.Gossip
	living     *liveness.Watch
	mode       *watch.Value[fleet.Mode]
	refused    func(identity.ID, string) bool
	enroller   *enroll.Enroller
	watchdog   run.Part
	beat       run.Part
	atlas      *atlas.Atlas
	mesh       *overlay.Member // nil if this coordinator takes no part in it
	tunnels    *meshnet.Tunnels
	pulse      pulse
	own        func() ([]netip.Addr, error)
	moving     atomic.Bool // it ends to begin anew at another address
	release    []func()
}

// enter opens all that a member of the group has. What is opened first is used by what comes
// later; close closes it last.
func enter(ctx context.Context, cfg config.Config, out Outside) (s *seat, err error) {
	if err := statedir.Refuse(cfg.StateDir, "prime-spark-coordinator"); err != nil {
		return nil, err
	}
	id, err := load(cfg)
	if err != nil {
		return nil, err
	}
	cfg.Name = id.ID().Name // a node is who its certificate says
	s = &seat{cfg: cfg, id: id, log: out.Log.With("node", cfg.Name), metrics: prometheus.NewRegistry(), mode: watch.New(fleet.Isolated), own: out.own}
	for _, m := range cfg.Moved {
		s.log.Warn("the configuration has a key of an earlier release", "key", m.Key, "now", m.Now, "remedy", "prime-spark-coordinator check --migrate")
	}
	if sabotage.Any {
		s.log.Error(sabotage.Warning, "remedy", "build it without tags")
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.authority, err = pki.Load(identityDir(cfg)); err != nil {
		return s, fmt.Errorf("load the cluster's authority: %w", err)
	}
	s.authority.Life = out.CertificateLife

	if s.ports, err = listen(ctx, cfg, out); err != nil {
		return s, err
	}
	s.later(func() { _ = s.ports.Close() }) // what the parts have not closed is of no use to anybody

	s.conditions = health.New(nil)
	s.conditions.Set(health.Starting, health.Unready, "The coordinator is starting.", "Wait a few seconds.")
	under, release := out.disk(cfg.StateDir)
	s.later(release)
	speed := disk.Measure(under)
	quick := timing(cfg.Raft.Profile, speed)
	tellSpeed(part(s.log, "disk"), s.conditions, cfg.Raft.Profile, quick, speed)
	if s.node, err = s.join(quick, out); err != nil {
		return s, err
	}
	s.later(func() { _ = s.node.Close() }) // the node's Run has told its error

	s.atlas = s.openAtlas()
	if s.mesh, s.tunnels, err = s.openMesh(part(s.log, "mesh")); err != nil {
		return s, err
	}
	if s.talk, err = s.gossip(out); err != nil {
		return s, err
	}
	s.later(func() { _ = s.talk.Close() }) // for when Run is never reached; otherwise it does nothing
	s.ports.reached.Gossip = s.talk.Addr()
	s.living = liveness.New(liveness.Config{Self: cfg.Name, Gossip: s.talk.View(), Ping: s.talk.Ping, Log: part(s.log, "liveness")})
	if err := register(s.metrics, id, s.node, s.living.View().Get, s.mode, s.conditions); err != nil {
		return s, err
	}
	s.enroller = &enroll.Enroller{
		Authority: s.authority, Group: s.node, GossipKeys: keysOf(id), SessionKey: id.SessionKey(), Log: part(s.log, "enroll"),
	}
	reaction := disks{dir: cfg.StateDir, widened: quick != cfg.Raft.Profile, take: s.node.Take, conditions: s.conditions, newest: watch.New(disk.State{})}
	watchdog, err := disk.Watch(under, reaction.act, part(s.log, "disk"), s.metrics)
	if err != nil {
		return s, err
	}
	watchdog.Also(s.node.Flush) // a disk may take the probe, and not the log
	s.watchdog = guarded(watchdog, out.Abort, part(s.log, "disk"))
	s.beat = beat(cfg.Name, id, s.node, s.talk, s.living, s.report, out, part(s.log, "heartbeat"))
	s.pulse = pulse{
		name: cfg.Name, status: s.node.Status, view: s.living.View().Get, met: func() bool { return met(s.node, s.living.View().Get()) },
		conditions: s.conditions, announce: func(v fleet.Vital) error { return s.talk.Announce(s.lend(v)) }, mode: s.mode,
		bearing: &bearing{status: s.node.Status, disk: reaction.newest}, service: out.Service, moving: s.moving.Load, log: part(s.log, "pulse"),
	}
	return s, nil
}

// join opens the raft node, with a profile by its name.
func (s *seat) join(profile string, out Outside) (*consensus.Node, error) {
	quick, err := consensus.ProfileOf(profile)
	if err != nil {
		return nil, err
	}
	agreed := fsm.New()
	witness := s.cfg.Role == config.Witness
	if witness {
		agreed = fsm.NewLight()
	}
	s.refused = func(who identity.ID, keyHash string) bool {
		state, _ := agreed.State()
		return state.Refused(who, keyHash)
	}
	s.id.SetDeny(s.refused) // before anybody can connect
	return consensus.Open(consensus.Config{
		Dir: raftDir(s.cfg), Advertise: s.ports.reached.Raft, Profile: quick, Identity: s.id, Witness: witness,
		Log: part(s.log, "raft"), Metrics: s.metrics,
	}, agreed, consensus.Outside{Listener: s.ports.raft, Dial: out.Dial})
}

// gossip joins the talk of the fleet.
func (s *seat) gossip(out Outside) (*gossip.Gossip, error) {
	keys := s.id.Keyring().Get().All()
	known, _ := s.node.State() // of the newest snapshot, if there is one
	told := s.ports.reached
	if was := known.Nodes[s.cfg.Name].Addresses; s.ports.lone && was.API != "" {
		told = was
	}
	chatter := gossip.Config{
		Size: known.Active(),
		Self: fleet.Member{
			Name: s.cfg.Name, Role: fleet.Coordinator, API: told.API, Raft: told.Raft, Version: version.Number,
		},
		Cluster: s.id.ID().Cluster, Key: keys[0], Also: keys[1:], Bind: s.cfg.Gossip.Listen, Advertise: s.cfg.Gossip.Advertise,
		Seeds: func() []string { return seeds(s.cfg, s.id, s.node) },
	}
	if s.mesh != nil {
		s.mesh.Gossip(&chatter, s.cfg.Gossip.Listen)
	}
	if out.Gossip != nil {
		out.Gossip(&chatter)
	}
	return gossip.New(chatter, part(s.log, "gossip"), s.metrics)
}

// parts are what every member runs, in the order in which they stop last.
func (s *seat) parts() []run.Part {
	parts := []run.Part{
		s.watchdog, // the raft node's end waits for the disk
		s.conditions,
		s.node,
		s.talk,
		s.living,
		followKeys(identityDir(s.cfg), s.id, s.node, s.talk, part(s.log, "gossip keys")),
		s.pulse,
		s.beat,
		announce(s.node, fsm.NodeAnnounce{
			Name: s.cfg.Name, Addresses: s.ports.reached, Version: version.Number, Witness: s.cfg.Role == config.Witness,
		}, s.ports.lone, part(s.log, "announce")),
		s.rove(),
		farewell(s.node, s.cfg.Name, s.conditions, part(s.log, "farewell")),
		&identity.Renewal{
			Identity: s.id, Dir: identityDir(s.cfg), Ask: s.enroller.RenewOwn(s.id), Conditions: s.conditions, Log: part(s.log, "identity"),
		},
	}
	if s.mesh != nil {
		parts = append(parts, run.Restart(s.mesh, part(s.log, "mesh")), run.Restart(s.tunnels, part(s.log, "mesh")))
	} else {
		parts = append(parts, s.leaveMesh(part(s.log, "mesh")))
	}
	return parts
}

func (s *seat) later(f func()) { s.release = append(s.release, f) }

// close closes what is open; what is closed already stays so.
func (s *seat) close() {
	for _, f := range slices.Backward(s.release) {
		f()
	}
}
