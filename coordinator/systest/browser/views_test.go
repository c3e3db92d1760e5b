package browser_test

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/task"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A stage serves views as a coordinator does, from memory.
type stage struct {
	*httptest.Server
	now    *watch.Value[*status.Sheet]
	reader *watch.Value[status.Reader]
	node   *watch.Value[status.NodeView]
	answer *watch.Value[http.HandlerFunc] // of the gateway
}

var operator = status.Reader{Name: "ada", Role: "operator", Session: true, Operate: true}

// play puts a view on a stage.
func play(t *testing.T, v status.View) *stage {
	t.Helper()
	s := &stage{
		now: watch.New(status.NewSheet(v)), reader: watch.New(operator), node: watch.New(status.NodeView{}), answer: watch.New(http.HandlerFunc(http.NotFound)),
	}
	mux := http.NewServeMux()
	show := func(render func(io.Writer) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := status.Show(w, r, http.StatusOK, render); err != nil {
				t.Error(err)
			}
		}
	}
	mux.HandleFunc("GET /{$}", show(func(w io.Writer) error { return status.Render(w, s.now.Get(), s.reader.Get()) }))
	mux.HandleFunc("GET /nodes/{name}", show(func(w io.Writer) error { return status.RenderNode(w, s.node.Get(), s.reader.Get()) }))
	mux.HandleFunc("GET /login", show(func(w io.Writer) error {
		return status.RenderLogin(w, "This token is not valid in this cluster.")
	}))
	mux.HandleFunc("GET /problem", show(func(w io.Writer) error {
		return status.RenderProblem(w, status.Problem{Title: "Not Found", Detail: "There is nothing here.", Remedy: "Go back."})
	}))
	mux.HandleFunc("GET /deed", show(func(w io.Writer) error {
		return status.RenderDeed(w, status.Deed{Reader: s.reader.Get(), Title: "Drain pi-1?", Now: "It is approved.", Means: "It gets no new work.", Button: "Drain", Path: "/nodes/pi-1/drain", Back: "/"})
	}))
	mux.Handle("GET /static/", status.Static())
	done := make(chan struct{})
	mux.HandleFunc("GET /page/stream", func(w http.ResponseWriter, r *http.Request) {
		status.Stream(done, w, r, s.now, nil, s.reader.Get().Operate, func() bool { return true })
	})
	mux.HandleFunc("POST /v2/models/{model}/infer", func(w http.ResponseWriter, r *http.Request) { s.answer.Get()(w, r) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		close(done)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

func agent(name string, now time.Time) wire.NodeBody {
	return wire.NodeBody{
		Name: name, Role: fleet.Agent, State: "approved", Liveness: fleet.Alive, Since: now.Add(-3 * time.Hour), LastSeen: now, Mode: fleet.Normal, Ready: true,
		Power: fleet.Power{Source: fleet.Mains, Charge: new(0.97)}, Temperature: new(51.4), CPU: 0.12, Memory: 0.31,
		Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.43}}, Version: "1.0", Addresses: map[string]string{"api": name + ":7490"},
	}
}

// troubled is a fleet in which most that can be marked is marked.
func troubled() status.View {
	now := time.Now().UTC()
	v := status.View{
		Self: "c2", At: now, Version: "1.0",
		Status: wire.StatusBody{
			Cluster: "home", Mode: fleet.Degraded, Term: 4, AppliedIndex: 218, StateChecksum: strings.Repeat("3f9a", 16), Advice: wire.GroupAdvice(2),
			Coordinators: []wire.Coordinator{
				{Name: "c1", Role: wire.RoleUnreachable, API: "c1.lan:7480", Voter: true, Version: "1.0"},
				{Name: "c2", Role: wire.RoleCandidate, API: "c2.lan:7480", Voter: true, Alive: true, Version: "1.0", LastContactMS: new(int64(9000)), Conditions: []string{"no_quorum", "slow_disk"}, Behind: new(uint64(40)), DiskFree: new(uint64(1 << 30)), DiskWrite: new(63.0)},
			},
			Summary: wire.Summary{Sentence: "1 of 5 agents healthy, no quorum (1/2), 1 on battery 42 min.", AgentsTotal: 5, AgentsHealthy: 1, QuorumHave: 1, QuorumNeed: 2, Voters: 2, OnBattery: 1},
			Backup:  &wire.BackupStatus{At: now, Node: "c1", Path: "/mnt/nas/home.psb", Error: "no space left on device", FailingSince: now.Add(-time.Hour)},
		},
		Events: []wire.Event{
			{ID: "1", At: now.Add(-5 * time.Hour), Severity: "info", Actor: "coordinator:c1", Detail: "Cluster home was founded on c1."},
			{ID: "2", At: now.Add(-4 * time.Minute), Severity: "warning", Detail: "The agent pi-3 does not answer any more.", Remedy: "Check its power and its network."},
			{ID: "3", At: now.Add(-3 * time.Minute), Severity: "error", Detail: "Most coordinators cannot be reached.", Remedy: "Start the coordinators that are down."},
		},
		Alerts: []wire.Alert{
			{Key: "battery_low/pi-1", Severity: "critical", Detail: "The battery of pi-1 is below 20 %.", Remedy: "Bring the mains back.", Since: now.Add(-9 * time.Minute), Told: []wire.AlertTold{{Channel: "ops", At: now}}},
			{Key: "node_down/pi-3", Severity: "warning", Detail: "The agent pi-3 is down.", Remedy: "See whether it has power.", Since: now.Add(-4 * time.Minute)},
		},
		Beats: map[string]status.Beats{},
	}
	battery, hot, dead, pending, well := agent("pi-1", now), agent("pi-2", now), agent("pi-3", now), agent("pi-4", now), agent("pi-5", now)
	battery.Power = fleet.Power{Source: fleet.Battery, Charge: new(0.17), Minutes: new(42.0)}
	battery.Accelerator = &fleet.Accelerator{Kind: "hailo", State: "runtime", Detail: "The driver is 4.20.0 and HailoRT is 4.23.0; they must be equal."}
	hot.Temperature, hot.CPU, hot.Ready, hot.Reasons, hot.Models, hot.Throttled = new(83.6), 0.99, false, []string{"no_models", "storage_full"}, nil, []string{"throttled"}
	dead.Liveness, dead.Since, dead.LastSeen = fleet.Dead, now.Add(-4*time.Minute), now.Add(-4*time.Minute)
	pending.State = "pending"
	well.Accelerator = &fleet.Accelerator{Kind: "hailo8l", State: "ready", Temperature: new(47.2), Simulated: true}
	v.Nodes = []wire.NodeBody{battery, hot, dead, pending, well}
	for i, n := range v.Nodes {
		v.Beats[n.Name] = status.Beats(strings.Repeat(".", 4*i) + strings.Repeat("o", 30-4*i-4) + "xwlo")
	}
	v.Queue = status.Queue{Counts: [7]int{1, 20, 3, 4, 1000, 1, 2}, Dead: []task.Task{
		{ID: "0000000000000000000000dead", Kind: task.Infer, Model: "yolox", Attempts: 10, MaxAttempts: 10, Node: "pi-2", Error: "The engine panicked on this task."},
	}}
	return v
}

// nodePage is the page of a node, with charts.
func nodePage(n wire.NodeBody) status.NodeView {
	now := time.Now().UTC()
	back, _ := status.FindRange("1h")
	v := status.NodeView{Self: "c2", At: now, Version: "1.0", Cluster: "home", Mode: fleet.Normal, Node: n, Range: back}
	for i := range 50 {
		at := now.Truncate(time.Minute).Add(-time.Duration(i) * time.Minute)
		c := 50 + 5*math.Sin(float64(i)/5)
		v.Samples = append(v.Samples,
			wire.TelemetryMinute{Stream: telemetry.Temperature, At: at, Min: c - 1, Mean: c, Max: c + 2, Count: 6},
			wire.TelemetryMinute{Stream: telemetry.CPU, Field: "used", At: at, Min: 0.1, Mean: 0.2, Max: 0.6, Count: 6})
	}
	return v
}

// crowd is a view of many agents, all well.
func crowd(n int) status.View {
	v := troubled()
	v.Nodes = nil
	for i := range n {
		v.Nodes = append(v.Nodes, agent(fmt.Sprintf("pi-%04d", i), v.At))
	}
	return v
}
