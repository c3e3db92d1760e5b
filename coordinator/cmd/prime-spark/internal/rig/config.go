package rig

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"primespark/shared/fleet"
)

// Cluster is the name of the cluster that a rig makes.
const Cluster = "demo"

// configure plans the nodes and writes their configurations.
func (r *Rig) configure(o Options) error {
	var broker string
	for i := range o.Coordinators {
		n, err := r.node(fmt.Sprintf("c%d", i+1), fleet.Coordinator)
		if err != nil {
			return err
		}
		r.Coordinators = append(r.Coordinators, n)
		var raft, gossip, mqtt string
		if err := n.reserve(&n.API, &n.Loopback, &raft, &gossip, &mqtt); err != nil {
			return err
		}
		if i == 0 {
			broker = mqtt
			if o.Page != 0 {
				if err := n.reservePage(o.Page); err != nil {
					return err
				}
			}
		}
		if err := n.write(fmt.Sprintf(`name: %s
state_dir: %s
http: {listen: %q, advertise: %q, loopback: %q, loopback_role: operator}
raft: {listen: %q, advertise: %q}
gossip: {listen: %q, advertise: %q}
mqtt: {embedded: %t, listen: %q}
log: {format: text}
`, n.Name, strconv.Quote(n.StateDir()), n.API, n.API, n.Loopback, raft, raft, gossip, gossip, i == 0, mqtt)); err != nil {
			return err
		}
	}
	for i := range o.Agents {
		n, err := r.node(fmt.Sprintf("pi-%d", i+1), fleet.Agent)
		if err != nil {
			return err
		}
		r.Agents = append(r.Agents, n)
		var gossip string
		if err := n.reserve(&n.API, &n.Loopback, &gossip); err != nil {
			return err
		}
		if err := n.write(fmt.Sprintf(`name: %s
state_dir: %s
http: {listen: %q, advertise: %q, loopback: %q, socket: ""}
gossip: {listen: %q, advertise: %q}
infer: {threads: 1}
telemetry: {every: 2s}
mqtt: {broker: %q}
log: {format: text}
battery:
  source: sim
  every: 2s
  script: %s
`, n.Name, strconv.Quote(n.StateDir()), n.API, n.API, n.Loopback, gossip, gossip, "tcp://"+broker, power(i))); err != nil {
			return err
		}
	}
	return nil
}

// power is the battery of the i-th agent. The second one loses its mains, so
// that the page has something to show.
func power(i int) string {
	if i == 1 {
		return "[{t: 0s, mains: false, soc: 0.81, load: 5}, {t: 2h, mains: false, soc: 0.2, load: 5}]"
	}
	return fmt.Sprintf("[{t: 0s, mains: true, soc: %.2f, load: 5}]", max(0.5, 0.97-0.04*float64(i)))
}

func (r *Rig) node(name string, role fleet.Role) (*Node, error) {
	n := &Node{Name: name, Role: role, rig: r, config: filepath.Join(r.Dir, name+".yaml"), log: filepath.Join(r.Dir, name+".log")}
	return n, os.Mkdir(n.StateDir(), 0o700)
}

func (n *Node) write(config string) error {
	if err := os.WriteFile(n.config, []byte(config), 0o600); err != nil {
		return fmt.Errorf("write the configuration of %s: %w", n.Name, err)
	}
	return nil
}
