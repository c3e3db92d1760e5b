package agent

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/agent/battery/batterytest"
	"primespark/agent/battery/registers"
	"primespark/agent/config"
	"primespark/agent/power"
	"primespark/coordinator/broker"
	"primespark/hailo/workertest"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/identity/identitytest"
	"primespark/shared/run"
	"primespark/shared/run/runtest"
	"primespark/shared/telemetry"
	"primespark/shared/testphoto"
)

// A ups is a UPS board that is a file in place of the bus.
type ups struct {
	t    *testing.T
	path string
	chip batterytest.Chip
}

func newUPS(t *testing.T) ups {
	u := ups{t, filepath.Join(t.TempDir(), "bus"), batterytest.UPSGen6()}
	u.mains(true)
	return u
}

// mains puts the plug in, or pulls it.
func (u ups) mains(on bool) {
	u.t.Helper()
	pack := batterytest.Pack{Mains: on, Volts: 8, Charge: 0.9, Amps: -1, Out: 1}
	if on {
		pack.Volts, pack.Amps = 8.2, 0.5
	}
	u.chip.Show(pack)
	whole := u.path + ".new" // the agent reads the file all the time
	if err := os.WriteFile(whole, registers.Format(map[uint16]*registers.Chip{u.chip.Addr: u.chip.Chip}), 0o600); err != nil {
		u.t.Fatal(err)
	}
	if err := os.Rename(whole, u.path); err != nil {
		u.t.Fatal(err)
	}
}

// has gives an agent the board, and lets it act at once.
func (u ups) has(actions ...string) func(*config.Config) {
	return func(c *config.Config) {
		c.I2C.Bus, c.Battery.Source = u.path, "upsgen6"
		c.Power.Timing.Lost, c.Power.Timing.Back = conf.Duration(time.Second), conf.Duration(time.Second)
		c.Power.Actions.OnBattery = actions
		c.Cache = config.Cache{} // every request is to be worked at
	}
}

// TestParkedAccelerator: on battery the worker of the Hailo ends, and its model, which has
// no other variant, says why it does not answer; on mains again both are back.
func TestParkedAccelerator(t *testing.T) {
	u := newUPS(t)
	b := newPi(t, workertest.None, u.has(power.ParkHailo))
	b.until(http.MethodPost, "/v2/models/yolov8s/infer", testphoto.Astronaut(), "hailo", `\"label\":\"bicycle\"`)
	b.until(http.MethodGet, "/v1/node", nil, `"mode":"mains"`, `"sentence":"Simulated: The hailo8 is ready`)
	u.mains(false)
	b.until(http.MethodGet, "/v1/node", nil, `"mode":"on_battery"`, `"actions":["park_hailo"]`, `"state":"stopped"`, `"code":"worker.parked"`, "rests while the node is on battery")
	b.until(http.MethodPost, "/v2/models/yolov8s/infer", testphoto.Astronaut(), "cannot be run here now", "rests while the node is on battery")
	b.until(http.MethodPost, "/v2/repository/index", []byte("{}"), `"UNAVAILABLE"`, "rests while the node is on battery")
	b.until(http.MethodPost, "/v2/models/blazeface/infer", testphoto.Astronaut(), "builtin", `\"label\":\"face\"`)
	if text := b.until(http.MethodGet, "/readyz", nil, `"ready":true`); strings.Contains(text, "accelerator") {
		t.Errorf("what its owner has set is told as a fault: %s", text)
	}
	u.mains(true)
	b.until(http.MethodPost, "/v2/models/yolov8s/infer", testphoto.Astronaut(), "hailo", `\"label\":\"bicycle\"`)
	b.until(http.MethodGet, "/v1/node", nil, `"actions":[]`, `"sentence":"Simulated: The hailo8 is ready`)
}

// TestPausedSync: on battery the samples of a node with a broker wait, save those of the
// battery; in a dry run they do not; on mains again nothing is missing.
func TestPausedSync(t *testing.T) {
	for name, dry := range map[string]bool{"done": false, "only told": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topics := telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}
			seen := listenTo(t, topics)
			u := newUPS(t)
			b := newPi(t, workertest.None, func(c *config.Config) {
				u.has(power.PauseSync)(c)
				c.Hailo.Enabled, c.Power.DryRun = config.Off, dry
				c.HTTP.Listen, c.Gossip.Listen = "127.0.0.1:0", "127.0.0.1:0"
				c.MQTT.Broker, c.MQTT.Ack, c.Battery.Every = "tcp://"+seen.addr, "broker", conf.Duration(time.Second)
				if err := identitytest.New(t, "home").Credentials(fleet.Agent, "pi-1", time.Now()).Save(identityDir(*c)); err != nil {
					t.Fatal(err)
				}
			})
			seen.until("samples on mains", func() bool { return seen.count(telemetry.CPU) > 1 && seen.mains(1) })
			u.mains(false)
			b.until(http.MethodGet, "/v1/node", nil, `"mode":"on_battery"`, `"actions":["pause_sync"]`)
			seen.until("a sample that tells of the battery", func() bool { return seen.mains(0) })
			// What was on its way then is here when the next but one has come.
			seen.more("state", 2)
			held := seen.count(telemetry.CPU)
			if dry {
				seen.until("other samples, too", func() bool { return seen.count(telemetry.CPU) > held })
			} else {
				seen.more("state", 1)
				if more := seen.count(telemetry.CPU) - held; more > 0 {
					t.Errorf("%d samples of the processor came meanwhile", more)
				}
			}
			u.mains(true)
			seen.until("the others", func() bool { return seen.count(telemetry.CPU) > held+3 && seen.mains(1) && seen.whole(telemetry.CPU) })
		})
	}
}

// An eavesdropper is at the broker of a test and hears what one node says.
type eavesdropper struct {
	t      *testing.T
	topics telemetry.Topics
	addr   string

	mu    sync.Mutex
	got   map[string][]telemetry.Sample
	times map[string]int
}

func listenTo(t *testing.T, topics telemetry.Topics) *eavesdropper {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &eavesdropper{t: t, topics: topics, addr: l.Addr().String(), got: map[string][]telemetry.Sample{}, times: map[string]int{}}
	b, err := broker.New(l, broker.Config{Prefix: topics.Prefix, Cluster: topics.Cluster}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	runtest.Start(t, b)
	reader := mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + e.addr).SetClientID("reader").SetConnectRetry(true))
	for _, ask := range []func() mqtt.Token{reader.Connect, func() mqtt.Token { return reader.Subscribe(topics.Base()+"#", 1, e.hear) }} {
		if token := ask(); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
			t.Fatalf("no word from the broker: %v", token.Error())
		}
	}
	t.Cleanup(func() { reader.Disconnect(100) })
	return e
}

func (e *eavesdropper) hear(_ mqtt.Client, m mqtt.Message) {
	what := strings.TrimPrefix(strings.TrimPrefix(m.Topic(), e.topics.Base()), "t/")
	e.mu.Lock()
	defer e.mu.Unlock()
	e.times[what]++
	if batch, err := telemetry.ParseBatch(telemetry.Stream(what), m.Payload()); err == nil {
		e.got[what] = append(e.got[what], batch...)
	}
}

// count is how many samples, or messages, came of a stream or topic.
func (e *eavesdropper) count(of telemetry.Stream) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(len(e.got[string(of)]), e.times[string(of)])
}

// more waits until so many more samples, or messages, have come.
func (e *eavesdropper) more(of telemetry.Stream, n int) {
	e.t.Helper()
	n += e.count(of)
	e.until(string(of), func() bool { return e.count(of) >= n })
}

// mains reports whether the newest sample of the power has the mains there (1) or gone (0).
func (e *eavesdropper) mains(want float64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.got[string(telemetry.Power)]
	if len(all) == 0 {
		return false
	}
	is, ok := all[len(all)-1].Value.Field("mains")
	return ok && is == want
}

// whole reports whether no sample of a stream is missing between the first and the last.
func (e *eavesdropper) whole(of telemetry.Stream) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	have, last := map[uint64]bool{}, uint64(0)
	for _, s := range e.got[string(of)] {
		have[s.Seq], last = true, max(last, s.Seq)
	}
	for seq := uint64(1); seq <= last; seq++ {
		if !have[seq] {
			return false
		}
	}
	return true
}

// until waits until something has come.
func (e *eavesdropper) until(what string, done func() bool) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	for !done() {
		if !run.Sleep(ctx, 20*time.Millisecond) {
			e.t.Fatalf("%s did not come; %v", what, e.times)
		}
	}
}
