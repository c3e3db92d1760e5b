package operator

import (
	"strings"
	"testing"

	"primespark/shared/fleet"
	"primespark/shared/wire"
)

// TestWrong: what is wrong with a fleet, the worst first, each told once and with a
// remedy.
func TestWrong(t *testing.T) {
	well := func(name string) wire.NodeBody {
		return wire.NodeBody{Name: name, Role: fleet.Agent, State: "approved", Liveness: fleet.Alive, Ready: true}
	}
	with := func(name string, change func(*wire.NodeBody)) wire.NodeBody {
		n := well(name)
		change(&n)
		return n
	}
	dead := with("pi-1", func(n *wire.NodeBody) { n.Liveness = fleet.Dead })
	unready := with("pi-1", func(n *wire.NodeBody) { n.Ready, n.Reasons = false, []string{"no_models"} })
	normal := wire.StatusBody{Cluster: "home", Mode: fleet.Normal}
	for name, test := range map[string]struct {
		status wire.StatusBody
		nodes  []wire.NodeBody
		alerts []wire.Alert
		want   []string // severity, subject and a piece of the text
	}{
		"well":        {normal, []wire.NodeBody{well("pi-1")}, nil, nil},
		"revoked":     {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.State, n.Liveness = "revoked", fleet.Dead })}, nil, nil},
		"dead":        {normal, []wire.NodeBody{dead}, nil, []string{"warning pi-1 does not answer"}},
		"dead, alert": {normal, []wire.NodeBody{dead}, []wire.Alert{{Key: "node_down/pi-1", Subject: "pi-1", Severity: "warning", Detail: "It is down.", Remedy: "Look."}}, []string{"warning pi-1 It is down."}},
		"dead, and another alert": {
			normal,
			[]wire.NodeBody{dead},
			[]wire.Alert{{Key: "hot/pi-1", Subject: "pi-1", Severity: "warning", Detail: "It is hot.", Remedy: "Look."}},
			[]string{"warning pi-1 It is hot.", "warning pi-1 does not answer"},
		},
		"a coordinator": {
			normal,
			[]wire.NodeBody{with("c2", func(n *wire.NodeBody) { n.Role, n.Liveness = fleet.Coordinator, fleet.Dead }), unready},
			nil,
			[]string{"critical c2 does not answer", "warning pi-1 No model can answer"},
		},
		"link down":      {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Liveness = fleet.LinkDown })}, nil, []string{"warning pi-1 link to the coordinators is down"}},
		"never seen":     {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Liveness = "" })}, nil, []string{"warning pi-1 was not seen since"}},
		"pending":        {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.State = "pending" })}, nil, []string{"info pi-1 waits to be let in"}},
		"unready":        {normal, []wire.NodeBody{unready}, nil, []string{"warning pi-1 No model can answer"}},
		"unready, alert": {normal, []wire.NodeBody{unready}, []wire.Alert{{Key: "node_not_ready/pi-1", Subject: "pi-1", Severity: "warning", Detail: "Not ready.", Remedy: "Look."}}, []string{"warning pi-1 Not ready."}},
		"draining":       {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Ready, n.Reasons = false, []string{"draining"} })}, nil, []string{"info pi-1 draining"}},
		"a warning":      {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Reasons = []string{"accelerator"} })}, nil, []string{"info pi-1 accelerator does not work"}},
		"weak supply":    {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Throttled = []string{"throttled", "under_voltage"} })}, nil, []string{"warning pi-1 too little voltage"}},
		"held back":      {normal, []wire.NodeBody{with("pi-1", func(n *wire.NodeBody) { n.Throttled = []string{"soft_limit"} })}, nil, []string{"warning pi-1 held back: soft limit"}},
		"no quorum": {
			wire.StatusBody{Cluster: "home", Mode: fleet.Degraded, Coordinators: []wire.Coordinator{{Name: "c1", Voter: true, Alive: true}, {Name: "c2", Voter: true}, {Name: "c3", Voter: true}}},
			[]wire.NodeBody{dead},
			nil,
			[]string{"critical home Start c2 and c3", "critical c2 does not answer", "critical c3 does not answer", "warning pi-1 does not answer"},
		},
		"others": {
			wire.StatusBody{Mode: fleet.Normal, Advice: "Add one.", Behind: []string{"pi-2"}, Newest: "2.0", Backup: &wire.BackupStatus{Error: "/mnt: full"}},
			nil, nil,
			[]string{"warning backup /mnt: full.", "info coordinators Add one.", "info versions Older than 2.0: pi-2."},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := wrong(test.status, test.nodes, test.alerts)
			if len(got) != len(test.want) {
				t.Fatalf("got %+v, want %q", got, test.want)
			}
			for i, f := range got {
				severity, rest, _ := strings.Cut(test.want[i], " ")
				subject, text, _ := strings.Cut(rest, " ")
				if f.Severity != severity || f.Subject != subject || !strings.Contains(f.Detail+" "+f.Remedy, text) || f.Remedy == "" {
					t.Errorf("got %+v, want %q", f, test.want[i])
				}
			}
		})
	}
}
