package agent

import (
	"log/slog"
	"maps"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/agent/models"
	"primespark/agent/sensors"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/netaddr"
	"primespark/shared/version"
	"primespark/shared/watch"
)

// A node is what this process knows of itself, gathered from its parts.
type node struct {
	cfg        config.Config
	started    time.Time
	view       func() fleet.View
	registry   *models.Registry
	host       func() sensors.Figures
	power      func() fleet.Power
	conditions *health.Registry
	vital      *watch.Value[fleet.Vital] // the newest that was collected
	addresses  map[string]string         // by what they serve; complete before the parts run
}

func noView() fleet.View   { return nil }
func noPower() fleet.Power { return fleet.Power{} }

// collect puts the newest values together.
func (n node) collect() fleet.Vital {
	host := n.host()
	reasons := n.conditions.Reasons()
	return fleet.Vital{
		Node: n.cfg.Name, At: time.Now().UTC(), Boot: n.started.UnixNano(),
		Mode:  modeOf(n.cfg.Name, n.view()),
		Ready: len(reasons) == 0, Reasons: reasons.Codes(),
		Power: n.power(), Temperature: host.Temperature, CPU: host.CPU, Memory: host.Memory,
		InFlight: n.registry.InFlight(), Queue: n.registry.Queue(), Models: n.registry.Serving(),
	}
}

// describe is the node as its API shows it.
func (n node) describe() api.Self {
	v := n.vital.Get()
	return api.Self{Name: n.cfg.Name, Role: fleet.Agent, Mode: v.Mode, Vital: v, Addresses: maps.Clone(n.addresses)}
}

// join makes the node's end of the gossip. The HTTPS door, the last of doors, is
// what it tells the others.
func (n node) join(id *identity.Identity, doors []api.Listener, out Outside, log *slog.Logger, metrics prometheus.Registerer) (*gossip.Gossip, error) {
	own, err := netaddr.Own()
	if err != nil {
		return nil, err
	}
	reached, err := netaddr.Advertise(n.cfg.HTTP.Advertise, doors[len(doors)-1].Addr(), own)
	if err != nil {
		return nil, err
	}
	c := gossip.Config{
		Self:    fleet.Member{Name: n.cfg.Name, Role: fleet.Agent, API: reached, Version: version.Number},
		Cluster: id.ID().Cluster, Key: id.GossipKey(), Bind: n.cfg.Gossip.Listen, Advertise: n.cfg.Gossip.Advertise,
		Seeds: func() []string { return append(id.Peers().Gossip, n.cfg.Gossip.Seeds...) },
	}
	if out.Gossip != nil {
		out.Gossip(&c)
	}
	talk, err := gossip.New(c, log, metrics)
	if err != nil {
		return nil, err
	}
	n.addresses["api"], n.addresses["gossip"] = reached, talk.Addr()
	return talk, nil
}
