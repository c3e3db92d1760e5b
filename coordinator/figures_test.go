package coordinator

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
)

func TestFleetFigures(t *testing.T) {
	charge, minutes, celsius := 0.5, 30.0, 61.5
	seen := time.Unix(1795392000, 0)
	state := fsm.State{Nodes: map[string]fsm.Node{
		"c1":   {Name: "c1", Role: fleet.Coordinator, State: fsm.Approved},
		"pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved},
		"pi-2": {Name: "pi-2", Role: fleet.Agent, State: fsm.Draining},
		"pi-3": {Name: "pi-3", Role: fleet.Agent, State: fsm.Revoked},
	}, Backup: fsm.Backup{Verified: seen, Error: "full"}}
	vital := fleet.Vital{
		Ready: true, CPU: 0.25, Memory: 0.75, InFlight: 1, Queue: 2, Temperature: &celsius,
		Power: fleet.Power{Source: fleet.Battery, Charge: &charge, Minutes: &minutes}, Models: make([]fleet.Serving, 3),
	}
	view := fleet.View{
		{Member: fleet.Member{Name: "pi-1", Role: fleet.Agent}, Liveness: fleet.Alive, LastSeen: seen, Vital: vital},
		{Member: fleet.Member{Name: "pi-2", Role: fleet.Agent}, Liveness: fleet.Dead, LastSeen: seen, Vital: vital},
		{Member: fleet.Member{Name: "stranger", Role: fleet.Agent}, Liveness: fleet.Alive, Vital: vital},
	}
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(fleetFigures{func() (fsm.State, <-chan struct{}) { return state, nil }, func() fleet.View { return view }})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var name strings.Builder
			name.WriteString(strings.TrimPrefix(f.GetName(), "primespark_"))
			for _, l := range m.GetLabel() {
				name.WriteString(" " + l.GetValue())
			}
			got[name.String()] = m.GetGauge().GetValue()
		}
	}
	unix := float64(seen.Unix())
	want := map[string]float64{
		"fleet_nodes coordinator approved": 1, "fleet_nodes agent approved": 1, "fleet_nodes agent draining": 1, "fleet_nodes agent revoked": 1,
		"backup_last_success_timestamp_seconds": unix, "backup_failing": 1,
		"fleet_node_up c1 coordinator": 0, "fleet_node_ready c1": 0,
		"fleet_node_up pi-2 agent": 0, "fleet_node_ready pi-2": 0, "fleet_node_last_seen_timestamp_seconds pi-2": unix,
		"fleet_node_up pi-1 agent": 1, "fleet_node_ready pi-1": 1, "fleet_node_last_seen_timestamp_seconds pi-1": unix,
		"fleet_node_power_mains pi-1": 0, "fleet_node_battery_charge_ratio pi-1": 0.5, "fleet_node_battery_remaining_seconds pi-1": 1800,
		"fleet_node_temperature_celsius pi-1": 61.5, "fleet_node_cpu_ratio pi-1": 0.25, "fleet_node_memory_ratio pi-1": 0.75,
		"fleet_node_inference_in_flight pi-1": 1, "fleet_node_inference_queue pi-1": 2, "fleet_node_models pi-1": 3,
	}
	if !maps.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
}
