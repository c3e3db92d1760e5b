package operator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/wire"
)

// A fault is something that is wrong with the fleet, and what to do about it.
type fault struct {
	Subject  string    `json:"subject"` // the node or thing that it is about
	Severity string    `json:"severity"`
	Since    time.Time `json:"since,omitzero"`
	Detail   string    `json:"detail"`
	Remedy   string    `json:"remedy"`
}

// The severities of faults, the worst first.
var severities = []string{"critical", "warning", "info"}

// wrong is all that is wrong with a fleet, the worst first: what the coordinators
// alert of, and what they do not, or not yet, since it must last for that. A node of
// which there is an alert is not told of twice for being away or not ready.
func wrong(b wire.StatusBody, nodes []wire.NodeBody, alerts []wire.Alert) (all []fault) {
	add := func(f fault) { all = append(all, f) }
	alerted := map[string]bool{}
	for _, a := range alerts {
		add(fault{cmp.Or(a.Subject, a.Key), a.Severity, a.Since, a.Detail, a.Remedy})
		alerted[a.Key] = true
	}
	if b.Mode != fleet.Normal {
		add(fault{b.Cluster, "critical", time.Time{}, "Most coordinators cannot be reached: nothing can be decided, and agents go on answering.", lost(b.Coordinators)})
	}
	for _, n := range nodes {
		down := alerted["node_down/"+n.Name]
		unready := down || alerted["node_not_ready/"+n.Name]
		for _, f := range faultsOf(n) {
			if away := f.Subject == ""; away && down || !away && unready && !n.Ready {
				continue
			}
			f.Subject = n.Name
			add(f)
		}
	}
	for _, c := range b.Coordinators {
		if !c.Alive && !alerted["node_down/"+c.Name] && !slices.ContainsFunc(nodes, func(n wire.NodeBody) bool { return n.Name == c.Name }) {
			add(fault{c.Name, "critical", time.Time{}, "The coordinator " + c.Name + " does not answer.", "See whether its host has power and a network, then its log: journalctl -u prime-spark-coordinator -e."})
		}
	}
	if s := b.Backup; s != nil && s.Error != "" && !alerted["backup_failing/backup"] {
		add(fault{"backup", "warning", s.FailingSince, "Backups cannot be made: " + strings.TrimSuffix(s.Error, ".") + ".", "See that backup.dir is mounted and writable on every coordinator, and has room."})
	}
	if b.Advice != "" {
		add(fault{"coordinators", "info", time.Time{}, "The group of coordinators could survive more.", b.Advice})
	}
	if len(b.Behind) > 0 {
		add(fault{"versions", "info", time.Time{}, fmt.Sprintf("Older than %s: %s.", b.Newest, strings.Join(b.Behind, ", ")), "prime-spark upgrade brings them up, one after the other."})
	}
	slices.SortStableFunc(all, func(a, b fault) int {
		return cmp.Compare(rank(a.Severity), rank(b.Severity))
	})
	return all
}

// rank is the place of a severity; one that is unknown comes last.
func rank(severity string) int {
	if i := slices.Index(severities, severity); i >= 0 {
		return i
	}
	return len(severities)
}

// lost says what to do about coordinators that are missing.
func lost(group []wire.Coordinator) string {
	var names []string
	for _, c := range group {
		if c.Voter && !c.Alive {
			names = append(names, c.Name)
		}
	}
	if len(names) == 0 {
		return "Wait some seconds for an election; prime-spark events tells of it."
	}
	return "Start " + strings.Join(names, " and ") + ", or mend the network to them. If most are lost for good: prime-spark-coordinator recover --from-one, on one that is left."
}

// faultsOf is what is wrong with one node. That it is away has no subject.
func faultsOf(n wire.NodeBody) (all []fault) {
	switch {
	case n.State == "revoked":
		return nil
	case n.State == "pending":
		return []fault{{"it", "info", time.Time{}, fmt.Sprintf("The %s %s waits to be let in.", n.Role, n.Name), "If you know it: prime-spark approve " + n.Name + "."}}
	case n.Liveness == "":
		return []fault{{"", "warning", time.Time{}, fmt.Sprintf("The %s %s joined and was not seen since.", n.Role, n.Name), fmt.Sprintf("Start it: sudo systemctl restart prime-spark-%s, on it.", n.Role)}}
	case n.Liveness == fleet.LinkDown:
		return []fault{{"", "warning", n.Since, fmt.Sprintf("The %s %s lives, and its link to the coordinators is down.", n.Role, n.Name), "See that it reaches port 7480/tcp of the coordinators."}}
	case n.Liveness != fleet.Alive:
		severity := "warning"
		if n.Role == fleet.Coordinator {
			severity = "critical"
		}
		return []fault{{"", severity, n.Since, fmt.Sprintf("The %s %s does not answer.", n.Role, n.Name), fmt.Sprintf("See whether it has power and a network, then its log: journalctl -u prime-spark-%s -e.", n.Role)}}
	}
	for _, code := range n.Reasons {
		severity := "info"
		if !n.Ready && code != string(health.Draining) {
			severity = "warning"
		}
		detail, remedy, _ := health.Explain(health.Code(code), n.Name)
		all = append(all, fault{"it", severity, time.Time{}, fmt.Sprintf("%s, %s: %s", n.Name, strings.ReplaceAll(code, "_", " "), detail), remedy})
	}
	if slices.Contains(n.Throttled, "under_voltage") {
		all = append(all, fault{"it", "warning", time.Time{}, n.Name + " has too little voltage, and its processor is held back.", "Use the official 27 W supply and a short cable."})
	} else if len(n.Throttled) > 0 {
		all = append(all, fault{"it", "warning", time.Time{}, n.Name + "'s processor is held back: " + strings.ReplaceAll(strings.Join(n.Throttled, ", "), "_", " ") + ".", "See that its fan runs and that there is room for air."})
	}
	return all
}
