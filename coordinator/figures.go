package coordinator

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/hostmetrics"
	"primespark/shared/identity"
	"primespark/shared/watch"
)

func fleetDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("primespark_fleet_"+name, help, []string{"node"}, nil)
}

var (
	descNodes   = prometheus.NewDesc("primespark_fleet_nodes", "Nodes that belong to the fleet, by role and what was decided about them.", []string{"role", "state"}, nil)
	descUp      = prometheus.NewDesc("primespark_fleet_node_up", "1 if gossip holds the node for alive, for each node that takes part.", []string{"node", "role"}, nil)
	descReady   = fleetDesc("node_ready", "1 if the node is alive and says that it is ready.")
	descSeen    = fleetDesc("node_last_seen_timestamp_seconds", "When the newest word of the node came in, Unix time.")
	descMains   = fleetDesc("node_power_mains", "1 on mains, 0 on battery.")
	descCharge  = fleetDesc("node_battery_charge_ratio", "State of charge, 0 to 1.")
	descLeft    = fleetDesc("node_battery_remaining_seconds", "Time until the battery is empty.")
	descCelsius = fleetDesc("node_temperature_celsius", "Temperature of the processor.")
	descCPU     = fleetDesc("node_cpu_ratio", "Use of all cores, 0 to 1.")
	descMemory  = fleetDesc("node_memory_ratio", "Use of memory, 0 to 1.")
	descFlight  = fleetDesc("node_inference_in_flight", "Requests being answered.")
	descQueue   = fleetDesc("node_inference_queue", "Requests that wait.")
	descModels  = fleetDesc("node_models", "Models that are resident.")

	descBackup = prometheus.NewDesc("primespark_backup_last_success_timestamp_seconds", "When the newest verified backup was made, Unix time; not there before the first.", nil, nil)
	descBroken = prometheus.NewDesc("primespark_backup_failing", "1 while scheduled backups cannot be made.", nil, nil)
)

// register makes what this coordinator is, and the fleet as it sees it, known to
// Prometheus.
func register(reg prometheus.Registerer, id *identity.Identity, node *consensus.Node, fleetView func() fleet.View, mode *watch.Value[fleet.Mode], conditions *health.Registry) error {
	err := hostmetrics.Register(reg, hostmetrics.Node{
		Name: id.ID().Name, Cluster: id.ID().Cluster, Role: fleet.Coordinator,
		Expires: id.Expires, Mode: mode.Get, Health: conditions.All,
	})
	if err != nil {
		return err
	}
	return reg.Register(fleetFigures{node.State, fleetView})
}

// fleetFigures show the fleet as this coordinator sees it, so that one scrape of
// any coordinator draws all nodes. Only nodes that take part are shown, so labels
// are bounded by the fleet's size.
type fleetFigures struct {
	state func() (fsm.State, <-chan struct{})
	view  func() fleet.View
}

// Describe tells the names.
func (fleetFigures) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descNodes, descUp, descReady, descSeen, descMains, descCharge, descLeft, descCelsius, descCPU, descMemory,
		descFlight, descQueue, descModels, descBackup, descBroken,
	} {
		out <- d
	}
}

// Collect tells how the fleet is now.
func (f fleetFigures) Collect(out chan<- prometheus.Metric) {
	tell := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	state, _ := f.state()
	seen := map[string]fleet.Node{}
	for _, n := range f.view() {
		seen[n.Name] = n
	}
	count := map[[2]string]int{}
	for _, n := range state.NodeList() {
		count[[2]string{string(n.Role), string(n.State)}]++
		if n.Active() {
			nodeFigures(tell, n, seen[n.Name])
		}
	}
	for k, n := range count {
		tell(descNodes, float64(n), k[0], k[1])
	}
	if at := state.Backup.Verified; !at.IsZero() {
		tell(descBackup, float64(at.Unix()))
	}
	tell(descBroken, truth(state.Backup.Error != ""))
}

// nodeFigures tells of one node. What a node that is gone said last is not told.
func nodeFigures(tell func(d *prometheus.Desc, v float64, labels ...string), n fsm.Node, as fleet.Node) {
	alive := as.Liveness == fleet.Alive
	tell(descUp, truth(alive), n.Name, string(n.Role))
	tell(descReady, truth(alive && as.Vital.Ready), n.Name)
	if !as.LastSeen.IsZero() {
		tell(descSeen, float64(as.LastSeen.UnixMilli())/1000, n.Name)
	}
	if !alive {
		return
	}
	v := as.Vital
	if v.Power.Source != fleet.PowerUnknown {
		tell(descMains, truth(v.Power.Source == fleet.Mains), n.Name)
	}
	if v.Power.Charge != nil {
		tell(descCharge, *v.Power.Charge, n.Name)
	}
	if v.Power.Minutes != nil {
		tell(descLeft, *v.Power.Minutes*time.Minute.Seconds(), n.Name)
	}
	if v.Temperature != nil {
		tell(descCelsius, *v.Temperature, n.Name)
	}
	if n.Role == fleet.Coordinator {
		return // it says nothing of its host in gossip, and its own /metrics does
	}
	tell(descCPU, v.CPU, n.Name)
	tell(descMemory, v.Memory, n.Name)
	tell(descFlight, float64(v.InFlight), n.Name)
	tell(descQueue, float64(v.Queue), n.Name)
	tell(descModels, float64(len(v.Models)), n.Name)
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
