package rig

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"primespark/shared/fleet"
)

// Cluster is the name of the cluster that a rig makes.
const Cluster = "demo"

// configure plans the nodes and writes their configurations.
func (r *Rig) configure(o Options) error {
	broker := o.Broker
	for i := range o.Coordinators {
		n, place, err := r.node(o, fmt.Sprintf("c%d", i+1), fleet.Coordinator)
		if err != nil {
			return err
		}
		r.Coordinators = append(r.Coordinators, n)
		var raft, gossip, mqtt string
		if err := n.settle(place, at{&n.API, 7480}, at{&n.Loopback, 0}, at{&raft, 7481}, at{&gossip, 7482}, at{&mqtt, 7883}); err != nil {
			return err
		}
		embedded := i == 0 && o.Broker == ""
		if embedded {
			broker = "tcp://" + mqtt
		}
		if i == 0 && o.Page != 0 {
			if err := n.reservePage(o.Page); err != nil {
				return err
			}
		}
		if err := n.write(fmt.Sprintf(`name: %s
state_dir: %s
http: {listen: %q, advertise: %q, loopback: %q, loopback_role: operator}
raft: {listen: %q, advertise: %q, profile: %s}
gossip: {listen: %q, advertise: %q}
mqtt: {embedded: %t, listen: %q}
log: {format: text}
`, n.Name, strconv.Quote(n.state), n.API, n.API, n.Loopback, raft, raft, cmp.Or(o.Profile, "lan"), gossip, gossip, embedded, mqtt)); err != nil {
			return err
		}
	}
	for i := range o.Witnesses {
		n, place, err := r.node(o, fmt.Sprintf("w%d", i+1), fleet.Coordinator)
		if err != nil {
			return err
		}
		r.Witnesses = append(r.Witnesses, n)
		var raft, gossip string
		if err := n.settle(place, at{&n.Loopback, 0}, at{&raft, 7481}, at{&gossip, 7482}); err != nil {
			return err
		}
		if err := n.write(fmt.Sprintf(`name: %s
state_dir: %s
role: witness
http: {loopback: %q}
raft: {listen: %q, advertise: %q}
gossip: {listen: %q, advertise: %q}
log: {format: text}
`, n.Name, strconv.Quote(n.state), n.Loopback, raft, raft, gossip, gossip)); err != nil {
			return err
		}
	}
	for i := range o.Agents {
		n, place, err := r.node(o, fmt.Sprintf("pi-%d", i+1), fleet.Agent)
		if err != nil {
			return err
		}
		r.Agents = append(r.Agents, n)
		var gossip string
		if err := n.settle(place, at{&n.API, 7490}, at{&n.Loopback, 0}, at{&gossip, 7482}); err != nil {
			return err
		}
		if err := n.write(fmt.Sprintf(`name: %s
state_dir: %s
http: {listen: %q, advertise: %q, loopback: %q, socket: ""}
gossip: {listen: %q, advertise: %q}
infer: {threads: 1, fault: %q}
hailo: %s
telemetry: {every: %v}
mqtt: {broker: %q, profile: %s}
log: {format: text}
battery:
  source: sim
  every: 2s
  script: %s
`, n.Name, strconv.Quote(n.state), n.API, n.API, n.Loopback, gossip, gossip, o.Fault, hailo(o.Accelerator, i), cmp.Or(o.Every, 2*time.Second), broker, cmp.Or(o.MQTT, "primespark"), power(i, o.Mains))); err != nil {
			return err
		}
	}
	return nil
}

// hailo is the accelerator of the i-th agent. None of them touches the one that this
// machine may have.
func hailo(a Accelerator, i int) string {
	if a.Library == "" || i > 0 {
		return "{enabled: \"off\"}"
	}
	return fmt.Sprintf("{enabled: \"on\", library: %q, worker: %q, models: %q}", a.Library, a.Worker, a.Models)
}

// power is the battery of the i-th agent. The second one loses its mains, unless none
// is to, so that the page has something to show.
func power(i int, mains bool) string {
	if i == 1 && !mains {
		return "[{t: 0s, mains: false, soc: 0.81, load: 5}, {t: 2h, mains: false, soc: 0.2, load: 5}]"
	}
	return fmt.Sprintf("[{t: 0s, mains: true, soc: %.2f, load: 5}]", max(0.5, 0.97-0.04*float64(i)))
}

// node makes a node and its state directory.
func (r *Rig) node(o Options, name string, role fleet.Role) (n *Node, place Place, err error) {
	if o.Place != nil {
		if place, err = o.Place(name, role); err != nil {
			return nil, place, fmt.Errorf("find a place for %s: %w", name, err)
		}
	}
	if place.StateDir == "" {
		place.StateDir = filepath.Join(r.Dir, name)
	}
	n = &Node{
		Name: name, Role: role, Host: place.Host, rig: r, state: place.StateDir, under: place.Under, mesh: place.Mesh,
		config: filepath.Join(r.Dir, name+".yaml"), log: filepath.Join(r.Dir, name+".log"),
	}
	return n, place, os.MkdirAll(n.state, 0o700)
}

// at is an address to be filled in, and the port that it has at a place with a
// host of its own; 0 for none there.
type at struct {
	address *string
	port    int
}

// settle gives the node its addresses.
func (n *Node) settle(place Place, all ...at) error {
	for _, a := range all {
		switch {
		case place.Host == "":
			if err := n.reserve(a.address); err != nil {
				return err
			}
		case a.port != 0:
			*a.address = net.JoinHostPort(place.Host, strconv.Itoa(a.port))
		}
	}
	return nil
}

// write writes the node's configuration, with the mesh if the node has a place in it.
func (n *Node) write(config string) error {
	if n.mesh != "" {
		config += fmt.Sprintf("mesh: {enabled: true, site: home, socket: %q}\n", n.mesh)
	}
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", n.Name, err)
	}
	return nil
}
