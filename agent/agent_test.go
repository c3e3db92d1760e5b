package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/api"
	"primespark/agent/config"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/gossiptest"
	"primespark/shared/identity/identitytest"
	"primespark/shared/pipenet"
	"primespark/shared/run"
	"primespark/shared/testphoto"
)

// A lone agent is one in a bubble, with nobody else on its network.
type lone struct {
	t    *testing.T
	host *pipenet.Host
	http *http.Client
	stop func()
}

// start runs an agent; one that joined has credentials in its state directory,
// of a cluster whose other nodes are all gone.
func start(t *testing.T, joined bool, change ...func(*config.Config)) *lone {
	t.Helper()
	var network pipenet.Net
	host := network.Host("10.77.0.1")
	cfg := config.Default()
	cfg.Name, cfg.StateDir, cfg.HTTP.Socket, cfg.HTTP.Loopback = "pi-1", t.TempDir(), "", "127.0.0.1:7491"
	cfg.HTTP.Advertise, cfg.Gossip.Advertise = "10.77.0.1:7490", "10.77.0.1:7482"
	cfg.Gossip.Seeds = []string{"10.77.0.9:7482"} // where nobody is
	cfg.Infer.Threads, cfg.Telemetry.Every = 1, conf.Duration(time.Hour)
	if joined {
		credentials := identitytest.New(t, "home").Credentials(fleet.Agent, "pi-1", time.Now())
		if err := credentials.Save(filepath.Join(cfg.StateDir, "identity")); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range change {
		c(&cfg)
	}
	packets := gossiptest.New(0, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { // waited for by stop
		done <- Run(ctx, cfg, Outside{
			Log: slog.New(slog.DiscardHandler), Listen: host.Listen,
			Gossip: func(c *gossip.Config) {
				transport, err := packets.Transport(host, ":7482")
				if err != nil {
					t.Error(err)
				}
				c.Transport = transport
			},
		})
	}()
	transport := &http.Transport{DialContext: host.Dial}
	return &lone{t, host, &http.Client{Transport: transport}, func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
		time.Sleep(time.Minute) // memberlist lets its last probes run out
	}}
}

// call asks the agent over loopback, until the limit for as long as it is not ready.
func (l *lone) call(method, path string, body []byte, limit time.Duration) (int, string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), limit)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1:7491"+path, bytes.NewReader(body))
		if err != nil {
			l.t.Fatal(err)
		}
		res, err := l.http.Do(req)
		if err == nil {
			text, readErr := io.ReadAll(res.Body)
			res.Body.Close()
			if readErr != nil {
				l.t.Fatal(readErr)
			}
			if res.StatusCode != http.StatusServiceUnavailable {
				return res.StatusCode, string(text)
			}
		}
		if !run.Sleep(ctx, 10*time.Millisecond) {
			l.t.Fatalf("%s %s: not within %v: %v", method, path, limit, err)
		}
	}
}

// TestServesWithNobodyThere: an agent that boots from its disk alone answers
// within a second, and says that it is by itself.
func TestServesWithNobodyThere(t *testing.T) {
	for name, joined := range map[string]bool{"joined, all others gone": true, "never joined": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := start(t, joined)
				defer l.stop()
				code, text := l.call(http.MethodPost, "/v2/models/blazeface/infer", testphoto.Astronaut(), time.Second)
				if code != http.StatusOK || !strings.Contains(text, `\"label\":\"face\"`) {
					t.Errorf("photo: %d %s", code, text)
				}
				if code, text := l.call(http.MethodGet, "/readyz", nil, time.Second); code != http.StatusOK {
					t.Errorf("readyz: %d %s", code, text)
				}
				time.Sleep(time.Second)
				_, text = l.call(http.MethodGet, "/v1/node", nil, time.Second)
				var self api.Self
				if err := json.Unmarshal([]byte(text), &self); err != nil {
					t.Fatal(err)
				}
				if self.Name != "pi-1" || self.Mode != fleet.Isolated || len(self.Vital.Models) != 1 {
					t.Errorf("the node says of itself %+v, want isolated with one model", self)
				}
			})
		})
	}
}

// TestSafeMode: an agent in safe mode leaves the models of its folder alone,
// serves the embedded one, and says why.
func TestSafeMode(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*config.Config)
		models int
		says   bool
	}{
		"safe":  {func(c *config.Config) { *c = c.Safe() }, 1, true},
		"usual": {func(*config.Config) {}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := t.TempDir()
				if err := os.MkdirAll(filepath.Join(dir, "hostile"), 0o700); err != nil {
					t.Fatal(err)
				}
				l := start(t, false, func(c *config.Config) { c.Models.Dir = dir }, test.change)
				defer l.stop()
				_, text := l.call(http.MethodGet, "/readyz", nil, time.Second)
				if strings.Contains(text, "safe_mode") != test.says {
					t.Errorf("readyz: %s", text)
				}
				_, text = l.call(http.MethodPost, "/v2/repository/index", nil, time.Second)
				if got := strings.Count(text, `"name"`); got != test.models {
					t.Errorf("%d models, want %d: %s", got, test.models, text)
				}
			})
		})
	}
}

// TestNothingToServe: an agent that nobody could reach does not pretend to run.
func TestNothingToServe(t *testing.T) {
	cfg := config.Default()
	cfg.Name, cfg.StateDir, cfg.HTTP.Socket = "pi-1", t.TempDir(), ""
	err := Run(t.Context(), cfg, Outside{Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "nobody to serve") {
		t.Errorf("Run = %v, want that there is nobody to serve", err)
	}
}

// TestStoppedBeforeItIsUp: an agent that is asked to stop while it starts has not
// failed.
func TestStoppedBeforeItIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, joined := range []bool{false, true} {
			start(t, joined).stop()
		}
	})
}
