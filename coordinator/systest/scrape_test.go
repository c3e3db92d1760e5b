package systest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"primespark/shared/rig"
	"primespark/shared/rigtest"
)

// TestPrometheusScrapes has a real Prometheus scrape a coordinator and an agent that
// run, with the rules that are shipped, and asks it what it knows then.
func TestPrometheusScrapes(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs real processes")
	}
	program, err := exec.LookPath("prometheus")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("prometheus is not installed; apt install prometheus")
		}
		t.Skip("prometheus is not installed; apt install prometheus")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r := rigtest.Start(ctx, t, rig.Options{Coordinators: 1, Agents: 1, MQTT: "sparkplug"})
	server := startPrometheus(ctx, t, program, map[string]string{"coordinator": r.Coordinators[0].Loopback, "agent": r.Agents[0].Loopback})
	for _, want := range []string{
		`up{job="coordinator"} == 1`,
		`up{job="agent"} == 1`,
		`primespark_raft_leader{job="coordinator"} == 1`,
		`primespark_sparkplug_births_total{job="agent"} >= 1`, // at the embedded broker
		`primespark_host_cpu_seconds_total{job="agent",mode="idle"} > 0`,
	} {
		server.until(ctx, t, want)
	}
}

// A scraper is a Prometheus that runs.
type scraper struct{ addr string }

// startPrometheus runs a server that scrapes targets, by their jobs. It ends with
// the test.
func startPrometheus(ctx context.Context, t *testing.T, program string, targets map[string]string) scraper {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n", rules)
	for job, target := range targets {
		fmt.Fprintf(&text, "  - {job_name: %s, static_configs: [{targets: [%q]}]}\n", job, target)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // one that has ended needs no other end
		_ = cmd.Wait()         // killed
		if t.Failed() {
			t.Logf("%s\nPrometheus says:\n%s", &text, &log)
		}
	})
	return scraper{addr}
}

// until waits until an expression has a result.
func (p scraper) until(ctx context.Context, t *testing.T, expr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last string
	for ctx.Err() == nil {
		n, err := p.query(ctx, expr)
		if n > 0 {
			return
		}
		last = fmt.Sprintf("%d results, %v", n, err)
		select {
		case <-time.After(200 * time.Millisecond): // other processes, of which nobody tells
		case <-ctx.Done():
		}
	}
	t.Fatalf("%s: %s", expr, last)
}

func (p scraper) query(ctx context.Context, expr string) (results int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/api/v1/query?"+url.Values{"query": {expr}}.Encode(), nil)
	if err != nil {
		return 0, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var body struct {
		Error string `json:"error"`
		Data  struct {
			Result []any `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return 0, err
	}
	if body.Error != "" {
		return 0, fmt.Errorf("prometheus: %s", body.Error)
	}
	return len(body.Data.Result), nil
}
