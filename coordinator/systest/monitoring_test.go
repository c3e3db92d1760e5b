package systest_test

import (
	"encoding/json"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	agentconfig "primespark/agent/config"
	"primespark/coordinator/config"
	"primespark/coordinator/systest"
	"primespark/shared/conf"
	"primespark/shared/hostmetrics"
	"primespark/shared/hostmetrics/hostmetricstest"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// Where the rules, the dashboards and the runbook are, from here.
const (
	rulesFile   = "../../packaging/prometheus/primespark.rules.yml"
	rulesTest   = "../../packaging/prometheus/primespark.rules.test.yml"
	dashboards  = "../../packaging/grafana/*.json"
	runbookFile = "../../docs/runbook.md"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// promtool runs Prometheus' own tool.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("promtool is not installed; apt install prometheus")
		}
		t.Skip("promtool is not installed; apt install prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestAlertRules(t *testing.T) {
	promtool(t, "", "check", "rules", rulesFile)
	promtool(t, "", "test", "rules", rulesTest)
}

// TestEveryAlertHasATestAndASection: in the rules' own tests, and in the runbook
// that it links to.
func TestEveryAlertHasATestAndASection(t *testing.T) {
	rules, tests, runbook := read(t, rulesFile), read(t, rulesTest), read(t, runbookFile)
	alerts := regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(alerts) < 12 {
		t.Errorf("%d alerts, want 12 or more", len(alerts))
	}
	for _, a := range alerts {
		if !strings.Contains(rules, "runbook_url: docs/runbook.md#"+strings.ToLower(a[1])+"\n") {
			t.Errorf("%s has no link to its section", a[1])
		}
		if !strings.Contains(runbook, "\n## "+a[1]+"\n") {
			t.Errorf("the runbook has no section %s", a[1])
		}
		if !regexp.MustCompile(`alertname: ` + a[1] + `\n *exp_alerts:`).MatchString(tests) {
			t.Errorf("no test has %s fire", a[1])
		}
	}
	for _, s := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(runbook, -1) {
		if !strings.Contains(rules, "- alert: "+s[1]+"\n") {
			t.Errorf("the runbook has a section %s, and there is no such alert", s[1])
		}
	}
}

var (
	figure   = regexp.MustCompile(`\b(?:primespark|process|go)_[a-z0-9_]+`)
	exported = regexp.MustCompile(`(?m)^([a-z0-9_]+)(?:\{| )`)
)

// wanted are the figures that rules and dashboards use, with who uses them.
func wanted(t *testing.T) map[string]string {
	t.Helper()
	use := map[string]string{}
	for _, expr := range regexp.MustCompile(`(?m)^ +expr: (?:\|\n(?: {10}.*\n)+|.*)`).FindAllString(read(t, rulesFile), -1) {
		for _, name := range figure.FindAllString(expr, -1) {
			use[name] = "alert rules"
		}
	}
	boards, err := filepath.Glob(dashboards)
	if err != nil || len(boards) < 5 {
		t.Fatalf("%d dashboards, want 5 or more; %v", len(boards), err)
	}
	ids := map[string]bool{}
	for _, path := range boards {
		var board struct {
			UID    string `json:"uid"`
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
			Templating struct {
				List []struct {
					Query any `json:"query"`
				} `json:"list"`
			} `json:"templating"`
		}
		if err := json.Unmarshal([]byte(read(t, path)), &board); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if board.UID == "" || ids[board.UID] || len(board.Panels) < 5 {
			t.Errorf("%s: uid %q, %d panels", path, board.UID, len(board.Panels))
		}
		ids[board.UID] = true
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				found := figure.FindAllString(target.Expr, -1)
				if len(found) == 0 {
					t.Errorf("%s, %s: no figure in %q", path, p.Title, target.Expr)
				}
				for _, name := range found {
					use[name] = filepath.Base(path) + ", " + p.Title
				}
			}
		}
		for _, v := range board.Templating.List {
			text, err := json.Marshal(v.Query)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range figure.FindAllString(string(text), -1) {
				use[name] = filepath.Base(path) + ", its variables"
			}
		}
	}
	return use
}

// TestFiguresThatAreShownAreExported scrapes live coordinators and agents, on
// battery, with a broker, backups and work to do, and holds what rules and
// dashboards use against it. What this machine's hardware does not have comes
// from files of a Raspberry Pi.
func TestFiguresThatAreShownAreExported(t *testing.T) {
	got := map[string]bool{}
	take := func(text string) {
		for _, m := range exported.FindAllStringSubmatch(text, -1) {
			got[m[1]] = true
		}
	}
	systest.Test(t, 1, 1, func(t *testing.T, f *systest.Fleet) {
		backups := t.TempDir()
		f.Tune("c1", func(c *config.Config) {
			c.MQTT.Embedded = true
			c.Sinks.Kafka.Brokers = []string{"127.0.0.1:1"} // nobody is there
			c.Backup.Dir = backups
			c.Backup.Recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p" // whose other half is nowhere
		})
		f.TuneAgent("pi-1", func(c *agentconfig.Config) {
			c.MQTT.Broker, c.MQTT.CAFile = "ssl://10.77.0.1:7883", "cluster"
			c.Telemetry.Every = conf.Duration(time.Second)
			c.Battery.Source, c.Battery.Every = "sim", conf.Duration(time.Second)
			c.Battery.Script = []agentconfig.Point{{Mains: false, SoC: 0.9, Load: 6}, {T: conf.Duration(time.Hour), Mains: false, SoC: 0.5, Load: 6}}
		})
		f.WaitHealthy(1, 1)
		o := office{t, f.Via("c1")}
		defer o.Close()
		if _, _, err := o.Photo(10 * time.Second); err != nil {
			t.Fatal(err)
		}
		done := o.submit(noop(time.Millisecond, ""))
		o.until(done.ID, "done", time.Minute, func(t task.Task) bool { return t.State == task.Done })
		if _, err := o.NodeAction(t.Context(), "pi-1", wire.Drain); err != nil { // so that a condition holds
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute) // three on battery show for how long it lasts
		for _, name := range []string{"c1", "pi-1"} {
			text := f.Figures(name)
			take(text)
			promtool(t, ours(text), "check", "metrics")
		}
	})
	take(pi(t))
	got["primespark_fleet_node_temperature_celsius"] = true // of a node with a sensor, as TestFleetFigures has one
	use := wanted(t)
	if len(use) < 60 {
		t.Errorf("%d figures are used; are the expressions read right?", len(use))
	}
	for _, name := range slices.Sorted(maps.Keys(use)) {
		if !got[name] {
			t.Errorf("%s is used by %s, and no node exports it", name, use[name])
		}
	}
}

// ours is the part of a scrape that does not come from libraries.
func ours(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "), "primespark_") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// pi are the figures of a Raspberry Pi made of files.
func pi(t *testing.T) string {
	t.Helper()
	c, err := hostmetrics.New(hostmetricstest.Write(t, hostmetricstest.Pi()))
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
