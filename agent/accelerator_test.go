package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/agent/config"
	"primespark/hailo/hef/synth"
	"primespark/hailo/workertest"
	"primespark/shared/conf"
	"primespark/shared/doctor"
	"primespark/shared/model"
	"primespark/shared/run"
	"primespark/shared/testphoto"
)

func TestMain(m *testing.M) { workertest.Main(m) }

// A pi is an agent with a real worker process, which computes nothing much,
// and the model yolov8s on its shelf. It is asked over its socket.
type pi struct {
	t    *testing.T
	http *http.Client
}

func newPi(t *testing.T, fault string, change func(*config.Config)) pi {
	t.Helper()
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Name, cfg.StateDir, cfg.HTTP.Socket, cfg.Infer.Threads = "pi-1", dir, filepath.Join(dir, "s"), 1
	cfg.Telemetry.Every = conf.Duration(time.Second)
	cfg.Hailo.Library, cfg.Hailo.Worker, cfg.Hailo.Models = "/nonexistent/double.so", workertest.Script(t, fault), t.TempDir()
	if err := os.WriteFile(filepath.Join(cfg.Hailo.Models, "yolov8s_h8.hef"), synth.Detector("yolov8s", 32, 80, 5).Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&cfg)
	}
	out := Real(cfg, io.Discard)
	out.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg, out) }() // waited for below
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the agent ended with %v", err)
		}
	})
	return pi{t, &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", cfg.HTTP.Socket)
		},
	}}}
}

// until asks until the answer has all of want in it.
func (b pi) until(method, path string, body []byte, want ...string) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	text := ""
	for {
		req, err := http.NewRequestWithContext(ctx, method, "http://agent"+path, bytes.NewReader(body))
		if err != nil {
			b.t.Fatal(err)
		}
		if res, err := b.http.Do(req); err == nil {
			answer, readErr := io.ReadAll(res.Body)
			res.Body.Close()
			if text = string(answer); readErr != nil {
				b.t.Fatal(readErr)
			}
			found := 0
			for _, w := range want {
				if strings.Contains(text, w) || strings.Contains(res.Header.Get("X-Prime-Spark-Backend"), w) {
					found++
				}
			}
			if found == len(want) {
				return text
			}
		}
		if !run.Sleep(ctx, 20*time.Millisecond) {
			b.t.Fatalf("%s %s never answered %q; at last\n%s", method, path, want, text)
		}
	}
}

// TestAccelerator finds the model on the shelf, runs it in the worker process and
// tells of it wherever somebody may look.
func TestAccelerator(t *testing.T) {
	b := newPi(t, workertest.None, nil)
	answer := b.until(http.MethodPost, "/v2/models/yolov8s/infer", testphoto.Astronaut(), "hailo", `\"label\":\"bicycle\"`)
	if !strings.Contains(answer, `\"score\":0.9`) {
		t.Errorf("it found %s", answer)
	}
	var node struct {
		Hailo struct {
			Sentence, State, Arch string
			Simulated             bool
		}
		Vital struct {
			Models      []struct{ Name, Backend string }
			Accelerator struct {
				Kind, State string
				Simulated   bool
				Temperature float64
			}
		}
		Models []model.Status
	}
	text := b.until(http.MethodGet, "/v1/node", nil, `"temperature":47.25`, `"frames":`)
	if err := json.Unmarshal([]byte(text), &node); err != nil {
		t.Fatal(err)
	}
	if h := node.Hailo; h.State != "ready" || !h.Simulated || h.Sentence != "Simulated: The hailo8 is ready, HailoRT 4.23.0." {
		t.Errorf("hailo %+v", h)
	}
	if a := node.Vital.Accelerator; a.Kind != "hailo8" || a.State != "ready" || !a.Simulated {
		t.Errorf("vital %+v", a)
	}
	b.until(http.MethodGet, "/metrics", nil, `primespark_hailo_ready{state="ready"} 1`, `primespark_hailo_temperature_celsius{sensor="1"} 47.25`, `primespark_hailo_frames_total{model="yolov8s"}`)
}

// TestAcceleratorAway serves without one, and says what is wrong.
func TestAcceleratorAway(t *testing.T) {
	b := newPi(t, workertest.Busy, nil)
	b.until(http.MethodPost, "/v2/models/blazeface/infer", testphoto.Astronaut(), "builtin", `\"label\":\"face\"`)
	b.until(http.MethodGet, "/readyz", nil, `"ready":true`, `"code":"accelerator"`, "used by another program")
	b.until(http.MethodGet, "/v1/node", nil, `"state":"busy"`, `"remedy":"sudo fuser -v /dev/hailo0`)
	b.until(http.MethodPost, "/v2/models/yolov8s/infer", testphoto.Astronaut(), "used by another program")
}

// TestAcceleratorOff leaves it alone.
func TestAcceleratorOff(t *testing.T) {
	b := newPi(t, workertest.None, func(c *config.Config) { c.Hailo.Enabled = config.Off })
	text := b.until(http.MethodGet, "/v1/node", nil, `"blazeface"`)
	if strings.Contains(text, "hailo") {
		t.Errorf("it tells of one: %s", text)
	}
}

// TestNotOnTheShelf names a model to load of which there is no file: the index and
// the doctor say so.
func TestNotOnTheShelf(t *testing.T) {
	var shelf config.Hailo
	b := newPi(t, workertest.None, func(c *config.Config) {
		c.Hailo.Load = []string{"yolov8s", "yolov8x"}
		shelf = c.Hailo
	})
	b.until(http.MethodPost, "/v2/repository/index", []byte("{}"), `"yolov8x"`, "hailo.load names it, and no file in "+shelf.Models+" is of it", `"READY"`)
	found := shelved{shelf}.look(t.Context())
	if len(found) != 1 || found[0].Severity != doctor.Warning || !strings.Contains(found[0].Detail, "names yolov8x, and no file") || !strings.Contains(found[0].Remedy, "there are: yolov8s.") {
		t.Errorf("the doctor says %+v", found)
	}
}
