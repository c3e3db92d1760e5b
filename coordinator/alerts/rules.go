package alerts

import (
	"fmt"
	"strings"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/task"
)

// A Finding is something that holds now and that somebody should know of once it
// has lasted.
type Finding struct {
	fsm.AlertOpen               // Since is filled in later
	For           time.Duration // that it must have held
}

// The severities of alerts.
const (
	Warning  = "warning"
	Critical = "critical"
)

// Limits are what can be set of the rules.
type Limits struct {
	NodeDown time.Duration
	Celsius  float64
	Charge   float64 // 0 to 1
}

// Find returns what is wrong with the fleet, by the rules that are built in.
func Find(s fsm.State, view fleet.View, l Limits) []Finding {
	var all []Finding
	add := func(rule, subject, severity string, lasts time.Duration, remedy, detail string, args ...any) {
		all = append(all, Finding{fsm.AlertOpen{Rule: rule, Subject: subject, Severity: severity, Detail: fmt.Sprintf(detail, args...), Remedy: remedy}, lasts})
	}
	for _, n := range s.NodeList() {
		if !n.Active() {
			continue
		}
		as, _ := view.Find(n.Name)
		if as.Liveness != fleet.Alive {
			severity := Warning
			if n.Role == fleet.Coordinator {
				severity = Critical
			}
			add("node_down", n.Name, severity, l.NodeDown, "See whether it has power and a network, then read its log; revoke it if it is lost for good.", "The %s %s is down.", n.Role, n.Name)
			continue
		}
		v := as.Vital
		if !v.Ready && n.State == fsm.Approved {
			add("node_not_ready", n.Name, Warning, 5*time.Minute, "prime-spark node "+n.Name+" tells each reason and its remedy.",
				"%s is up and not ready: %s.", n.Name, strings.Join(v.Reasons, ", "))
		}
		if t := v.Temperature; t != nil && *t >= l.Celsius {
			add("hot", n.Name, Warning, 5*time.Minute, "See that its fan runs and that there is room for air.", "%s has %.0f °C.", n.Name, *t)
		}
		if v.Power.Source != fleet.Battery {
			continue
		}
		add("on_battery", n.Name, Warning, 5*time.Minute, "Check its supply.", "%s runs on its battery.", n.Name)
		if c := v.Power.Charge; c != nil && *c < l.Charge {
			add("battery_low", n.Name, Critical, time.Minute, "Bring the mains back, or drain the node.", "The battery of %s is below %.0f %%.", n.Name, l.Charge*100)
		}
	}
	if s.Backup.Error != "" {
		add("backup_failing", "backup", Warning, 15*time.Minute, "See that backup.dir is mounted and writable on every coordinator, and has room.", "Scheduled backups cannot be made.")
	}
	if dead := s.Tasks.Count(task.Dead); dead > 0 {
		add("tasks_dead", "tasks", Warning, 5*time.Minute, "prime-spark tasks dead lists them; requeue or cancel them.", "Tasks were given up.")
	}
	return all
}
