package status

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/goldentest"
	"primespark/shared/mesh"
	"primespark/shared/task"
	"primespark/shared/wire"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func agent(name string) wire.NodeBody {
	return wire.NodeBody{
		Name: name, Role: fleet.Agent, State: "approved", Liveness: fleet.Alive, Since: noon.Add(-3 * time.Hour), LastSeen: noon.Add(-time.Second),
		Mode: fleet.Normal, Ready: true, Power: fleet.Power{Source: fleet.Mains, Charge: new(1.0)}, Temperature: new(51.4), CPU: 0.12, Memory: 0.31,
		Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.43}}, Version: "0.1.0",
	}
}

func group(leader string, down ...string) []wire.Coordinator {
	var all []wire.Coordinator
	for _, name := range []string{"c1", "c2", "c3"} {
		c := wire.Coordinator{Name: name, Role: wire.RoleFollower, API: name + ".lan:7480", Voter: true, Alive: true, Version: "0.1.0"}
		if name == leader {
			c.Role = wire.RoleLeader
		}
		for _, d := range down {
			if name == d {
				c.Role, c.Alive = wire.RoleUnreachable, false
			}
		}
		all = append(all, c)
	}
	return all
}

func healthy() View {
	v := View{
		Self: "c2", At: noon, Version: "0.1.0",
		Status: wire.StatusBody{
			Cluster: "home", Mode: fleet.Normal, Leader: "c1", Term: 4, AppliedIndex: 218, StateChecksum: "3f9a1c07b2d4e5f60718", Coordinators: group("c1"),
			Summary: wire.Summary{Sentence: "3 of 3 agents healthy, quorum 3/3.", AgentsTotal: 3, AgentsHealthy: 3, QuorumHave: 3, QuorumNeed: 2, Voters: 3},
		},
		Nodes: []wire.NodeBody{{Name: "c1", Role: fleet.Coordinator, State: "approved"}, agent("pi-1"), agent("pi-2"), agent("pi-3")},
		Events: []wire.Event{
			{ID: "1", At: noon.Add(-5 * time.Hour), Code: "cluster.init", Severity: "info", Actor: "coordinator:c1", Detail: "Cluster home was founded on c1."},
			{ID: "2", At: noon.Add(-3 * time.Hour), Code: "node.join", Severity: "info", Node: "pi-3", Actor: "code:k3x", Detail: "The agent pi-3 joined."},
		},
	}
	v.Status.Coordinators[1].LastContactMS = new(int64(41))
	v.Status.Backup = &wire.BackupStatus{At: noon.Add(-301 * time.Second), VerifiedAt: noon.Add(-5 * time.Minute), Node: "c1", Path: "/mnt/nas/prime-spark-home-20260301T115459Z.psb"}
	v.Queue.Counts = [7]int{4: 12}
	v.Nodes[1].Accelerator = &fleet.Accelerator{Kind: "hailo8l", State: "ready", Temperature: new(47.2), FPS: 29.7}
	v.Nodes[3].Accelerator = &fleet.Accelerator{Kind: "hailo8", State: "ready", Temperature: new(46.5), Simulated: true}
	v.Nodes[2].InFlight, v.Nodes[2].Queue, v.Nodes[2].CPU = 2, 1, 0.84
	v.Nodes[3].Models = append(v.Nodes[3].Models, fleet.Serving{Name: "yolov8n", Version: "2", Backend: "hailo", Millis: 11.2})
	v.Mesh = &MeshView{Brief: true, Mesh: wire.MeshViewBody{Version: 17, Nodes: []wire.MeshNodeBody{
		{Name: "c1", Role: fleet.Coordinator, Hub: &mesh.Hub{}, Report: &mesh.Report{Version: 17}},
		{Name: "pi-1", Role: fleet.Agent, Report: &mesh.Report{Version: 17, Hub: "c1", Links: []mesh.Link{{Peer: "c1", Up: true, RTT: 3, Handshake: 71}, {Peer: "pi-2", Up: true, Via: "c1"}, {Peer: "pi-3"}}}},
		{Name: "pi-2", Role: fleet.Agent, Report: &mesh.Report{Version: 17, Facts: mesh.Facts{Blocked: []string{"c2"}}}},
	}}}
	v.Beats = map[string]Beats{"pi-1": Beats(strings.Repeat("o", 30)), "pi-2": Beats(strings.Repeat(".", 20) + "oooxxwoooo"), "pi-3": Beats(strings.Repeat(".", 30))}
	v.Trends = map[string]Trend{"pi-1": Trend(strings.Repeat("\x00", 6) + strings.Repeat("e", 10) + "c_I3[_be"), "pi-2": Trend(strings.Repeat("\x00", 23) + "e")}
	v.Status.Coordinators[0].Behind, v.Status.Coordinators[0].DiskFree, v.Status.Coordinators[0].DiskWrite = new(uint64(0)), new(uint64(412<<30)), new(4.0)
	v.Status.Coordinators[1].Behind, v.Status.Coordinators[1].DiskFree, v.Status.Coordinators[1].DiskWrite = new(uint64(120)), new(uint64(3<<29)), new(63.0)
	return v
}

func trouble() View {
	v := healthy()
	v.Status.Backup.Error, v.Status.Backup.FailingSince = "/mnt/nas: no space left on device", noon.Add(-3*time.Minute)
	v.Status.Mode, v.Status.Leader, v.Status.Coordinators = fleet.Degraded, "", group("", "c1", "c3")
	v.Status.Coordinators[1].Role, v.Status.Coordinators[1].LastContactMS = wire.RoleCandidate, new(int64(193_000))
	v.Status.Coordinators[1].Conditions = []string{"no_quorum", "slow_disk"}
	v.Status.Summary = wire.Summary{Sentence: "1 of 5 agents healthy, no quorum (1/3), 1 on battery, 42 min left.", AgentsTotal: 5, AgentsHealthy: 1, QuorumHave: 1, QuorumNeed: 2, Voters: 3, OnBattery: 1}
	battery, hot, dead, pending, revoked := agent("pi-1"), agent("pi-2"), agent("pi-3"), agent("pi-4"), agent("pi-9")
	battery.Accelerator = &fleet.Accelerator{Kind: "hailo", State: "runtime", Detail: "The driver is 4.20.0 and HailoRT is 4.23.0; they must be equal."}
	battery.Power = fleet.Power{Source: fleet.Battery, Charge: new(0.17), Minutes: new(42.0)}
	hot.Temperature, hot.CPU, hot.Ready, hot.Reasons, hot.Models = new(83.6), 0.99, false, []string{"no_models", "storage_full"}, nil
	hot.Throttled = []string{"frequency_capped", "under_voltage"}
	dead.Liveness, dead.Since, dead.LastSeen = fleet.Dead, noon.Add(-4*time.Minute), noon.Add(-4*time.Minute)
	pending.State = "pending"
	revoked.State = "revoked"
	unseen := wire.NodeBody{Name: "pi-5", Role: fleet.Agent, State: "approved"}
	v.Queue = Queue{Counts: [7]int{1, 20, 3, 4, 1000, 7, 2}, Dead: []task.Task{
		{ID: "0000000000000000000000dead", Kind: task.Infer, Model: "yolox", Attempts: 10, MaxAttempts: 10, Node: "pi-2", Error: "The engine panicked on this task."},
		{ID: "000000000000000000000death", Kind: task.Noop, MaxAttempts: 3, Error: "it was not done by its deadline"},
	}}
	v.Alerts = []wire.Alert{
		{
			Key: "battery_low/pi-1", Severity: "critical", Detail: "The battery of pi-1 is below 20 %.", Remedy: "Bring the mains back, or drain the node.", Since: noon.Add(-9 * time.Minute),
			Told: []wire.AlertTold{{Channel: "ops", At: noon.Add(-8 * time.Minute), By: "c1"}, {Channel: "phone", At: noon.Add(-7 * time.Minute), By: "c2"}},
		},
		{Key: "node_down/pi-3", Severity: "warning", Detail: "The agent pi-3 is down.", Remedy: "See whether it has power and a network.", Since: noon.Add(-4 * time.Minute)},
	}
	v.Status.Behind, v.Status.Newest = []string{"c3", "pi-2"}, "1.1.0"
	v.Nodes = []wire.NodeBody{battery, hot, dead, pending, unseen, revoked}
	v.Events = append(v.Events,
		wire.Event{ID: "3", At: noon.Add(-4 * time.Minute), Severity: "warning", Detail: "The agent pi-3 does not answer any more.", Remedy: "Check its power and its network; prime-spark node pi-3 tells what it said last."},
		wire.Event{ID: "4", At: noon.Add(-193 * time.Second), Severity: "error", Detail: "Most coordinators cannot be reached: nothing can be decided. Inference goes on.", Remedy: "Start the coordinators that are down, or mend the network between them."})
	return v
}

// removed is what a coordinator shows that the others have removed, of a group
// whose number is not a good one.
func removed() View {
	v := trouble()
	v.Status.Removed, v.Status.Advice = true, wire.GroupAdvice(4)
	return v
}

func hostile() View {
	const evil = `<script>alert(1)</script>"'&`
	v := healthy()
	v.Self, v.Version, v.Status.Cluster, v.Status.Leader, v.Status.Summary.Sentence = evil, evil, evil, evil, evil
	v.Status.StateChecksum = evil
	v.Status.Backup = &wire.BackupStatus{Path: evil, Node: evil, Error: evil}
	v.Status.Coordinators[0].Name, v.Status.Coordinators[0].API, v.Status.Coordinators[0].Version, v.Status.Coordinators[0].Role = evil, evil, evil, evil
	v.Status.Behind, v.Status.Newest = []string{evil, evil}, evil
	n := agent(evil)
	n.State, n.Version, n.Reasons, n.Ready = "pending", evil, []string{evil}, false
	n.Liveness, n.Mode, n.Power.Source = evil, evil, evil
	n.Throttled, v.Beats = []string{evil}, map[string]Beats{evil: evil}
	v.Trends = map[string]Trend{evil: evil, "far-future": "\xff\x00\xff\x01"}
	v.Status.Coordinators[0].Behind, v.Status.Coordinators[0].DiskWrite, v.Status.Coordinators[0].DiskFree = new(uint64(math.MaxUint64)), new(math.NaN()), new(uint64(math.MaxUint64))
	n.Temperature, n.CPU, n.Memory, n.Power.Charge = new(math.Inf(1)), math.NaN(), -7, new(math.NaN())
	n.Accelerator = &fleet.Accelerator{Kind: evil, State: evil, Detail: evil, Temperature: new(math.NaN()), Simulated: true}
	n.Models = []fleet.Serving{{Name: evil, Version: evil, Backend: evil, Millis: math.NaN()}}
	far := agent("far-future")
	far.LastSeen, far.Power.Source, far.Power.Minutes = noon.Add(1000*time.Hour), fleet.Battery, new(math.Inf(1))
	v.Nodes = []wire.NodeBody{n, far}
	for range shownAlerts + 1 {
		v.Alerts = append(v.Alerts, wire.Alert{Key: evil, Rule: evil, Subject: evil, Severity: evil, Detail: evil, Remedy: evil, Since: noon.Add(time.Hour), Told: []wire.AlertTold{{Channel: evil, By: evil}}})
	}
	v.Mesh = &MeshView{Mesh: wire.MeshViewBody{Nodes: []wire.MeshNodeBody{{Name: evil, Role: evil, Report: &mesh.Report{Links: []mesh.Link{{Peer: evil, Via: evil}, {Peer: evil, Up: true, Handshake: math.Inf(1)}}}}}}}
	v.Queue = Queue{Counts: [7]int{5: 1}, Dead: []task.Task{{ID: evil, Kind: evil, Model: evil, Node: evil, Error: evil}}}
	v.Events = []wire.Event{{ID: evil, At: noon.Add(time.Hour), Code: evil, Severity: evil, Node: evil, Actor: evil, Detail: evil, Remedy: evil}}
	return v
}

// ada may operate; the others who look at pages of these names may not.
var ada = Reader{Name: "ada", Role: "operator", Session: true, Operate: true}

var readers = map[string]Reader{
	"healthy": ada, "well": ada, "sick": ada, "trouble": {Role: "operator", Operate: true}, "removed": {Name: "vera", Role: "viewer", Session: true},
	"hostile": {Name: `<script>`, Role: `<script>`, Session: true, Operate: true},
}

func TestPage(t *testing.T) {
	for name, v := range map[string]View{
		"empty":   {Self: "c1", At: noon, Version: "0.1.0", Status: wire.StatusBody{Mode: fleet.Normal, Summary: wire.Summary{Sentence: "No agent has joined yet."}}},
		"healthy": healthy(),
		"trouble": trouble(),
		"hostile": hostile(),
		"removed": removed(),
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			sheet := NewSheet(v)
			if err := Render(&b, sheet, readers[name]); err != nil {
				t.Fatal(err)
			}
			goldentest.Compare(t, name+".html", b.Bytes())
			live, err := sheet.pieces(readers[name].Operate)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(b.String(), strings.Join(live.since(nil), "")) {
				t.Error("what is streamed first is not part of the page")
			}
			if n := b.Len(); n > 100_000 {
				t.Errorf("the page has %d bytes", n)
			}
			inert(t, b.String())
		})
	}
}

func TestOtherPages(t *testing.T) {
	var b bytes.Buffer
	if err := RenderLogin(&b, `That is <b>no</b> token.`); err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "login.html", b.Bytes())
	inert(t, b.String())
	b.Reset()
	const evil = `"><script>alert(1)</script>`
	if err := RenderDeed(&b, Deed{Reader: ada, Title: "Drain " + evil + "?", Now: evil, Means: "It gets no new work.", Button: "Drain", Path: "/nodes/pi-1/drain", Back: "/nodes/pi-1"}); err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "deed.html", b.Bytes())
	inert(t, b.String())
	b.Reset()
	if err := RenderProblem(&b, Problem{"Not found", "There is no page <x>.", "Go back."}); err != nil {
		t.Fatal(err)
	}
	goldentest.Compare(t, "problem.html", b.Bytes())
	inert(t, b.String())
}

// inert checks that a page keeps to its own Content-Security-Policy and holds
// no script but ours.
func inert(t *testing.T, page string) {
	t.Helper()
	for _, ours := range []string{"page", "try"} {
		page = strings.Replace(page, `<script src="/static/`+ours+`.js" defer></script>`, "", 1)
	}
	if strings.Contains(page, "<script") {
		t.Error("there is a script that is not ours")
	}
	for _, bad := range []string{" style=", "<style", " onclick=", "javascript:", "http://", "https://", "ZgotmplZ", "NaN", "+Inf"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
}
