package agent

import (
	"slices"
	"time"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/agent/models"
	"primespark/agent/power"
	"primespark/agent/sensors"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/overlay"
	"primespark/shared/telemetry"
	"primespark/shared/version"
	"primespark/shared/watch"
)

// A node is what this process knows of itself, gathered from its parts.
type node struct {
	cfg        config.Config
	started    time.Time
	view       func() fleet.View
	registry   *models.Registry
	notes      func() []fleet.Note // on models of the fleet
	host       func() sensors.Figures
	power      func() fleet.Power
	state      *watch.Value[power.Status] // nil without a battery
	newest     func() telemetry.Newest    // that was measured
	conditions *health.Registry
	vital      *watch.Value[fleet.Vital] // the newest that was collected
	addresses  func() map[string]string  // by what they serve
	outbox     func() *api.Outbox        // nil on a node that has not joined
	chip       *accelerator              // nil if it is switched off
	onnx       *onnxRuntime              // nil if it is switched off
	mesh       *overlay.Member           // nil if the node takes no part in it
	alive      func() error              // why the node is not looked after, for the watchdog
}

func noView() fleet.View    { return nil }
func noPower() fleet.Power  { return fleet.Power{} }
func noNotes() []fleet.Note { return nil }

func nowhere() map[string]string { return map[string]string{} }

// collect puts the newest values together.
func (n node) collect() fleet.Vital {
	host := n.host()
	reasons := n.conditions.Reasons()
	return fleet.Vital{
		Node: n.cfg.Name, At: time.Now().UTC(), Boot: n.started.UnixNano(),
		Mode:  modeOf(n.cfg.Name, n.view()),
		Ready: len(reasons) == 0, Reasons: reasons.Codes(),
		Power: n.power(), Site: n.cfg.Site, Temperature: host.Temperature, CPU: host.CPU, Memory: host.Memory,
		InFlight: n.registry.InFlight(), Queue: n.registry.Queue(), Models: n.registry.Serving(), Notes: n.notes(),
		Accelerator: n.chip.vital(), Throttled: throttled(n.newest()[telemetry.Throttle]),
	}
}

// throttled are the firmware's flags that are set now, by name.
func throttled(s telemetry.Sample) (reasons []string) {
	for name, set := range s.Value.All() {
		if set != 0 {
			reasons = append(reasons, name)
		}
	}
	slices.Sort(reasons)
	return reasons
}

// describe is the node as its API shows it.
func (n node) describe() api.Self {
	v := n.vital.Get()
	s := api.Self{Name: n.cfg.Name, Role: fleet.Agent, Mode: v.Mode, Vital: v, Addresses: n.addresses(), Hailo: n.chip.describe(), ONNX: n.onnx.describe()}
	if n.state != nil {
		st := n.state.Get()
		s.Power = &st
	}
	if n.outbox != nil {
		s.Outbox = n.outbox()
	}
	if n.mesh != nil {
		s.Mesh = new(n.mesh.Report())
	}
	s.Fleet = fleetOf(n.view())
	return s
}

// fleetOf tells who of those that are alive runs an older version than others.
func fleetOf(v fleet.View) *api.Fleet {
	versions := map[string]string{}
	for _, n := range v {
		if n.Liveness == fleet.Alive {
			versions[n.Name] = n.Version
		}
	}
	if len(versions) == 0 {
		return nil
	}
	behind, newest := version.Behind(versions)
	slices.Sort(behind)
	return &api.Fleet{Alive: len(versions), Newest: newest, Behind: behind}
}
