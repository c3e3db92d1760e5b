package uplink_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/shared/telemetry"
)

func TestTopicsAndPayloads(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		if got := l.payload(topics.Status()); got != "online" {
			t.Errorf("status %q, want online", got)
		}
		if err := l.rec.Record(telemetry.Temperature, telemetry.Number(51.5, "°C")); err != nil {
			t.Fatal(err)
		}
		if err := l.rec.Record(telemetry.CPU, telemetry.Fields(map[string]float64{"used": 0.25})); err != nil {
			t.Fatal(err)
		}
		l.up.Event("node_started", "info", "The node has started.")
		pass(11 * time.Second)
		boot := l.rec.Newest().Get()[telemetry.CPU].Boot
		for topic, want := range map[string]string{
			"primespark/home/pi-1/t/temperature": fmt.Sprintf(`[{"boot":%d,"seq":1,"at":"2000-01-01T00:00:01Z","value":51.5,"unit":"°C"}]`, boot),
			"primespark/home/pi-1/t/cpu":         fmt.Sprintf(`[{"boot":%d,"seq":1,"at":"2000-01-01T00:00:01Z","value":{"used":0.25}}]`, boot),
			"primespark/home/pi-1/event":         `{"seq":1,"at":"2000-01-01T00:00:01Z","code":"node_started","severity":"info","detail":"The node has started."}`,
			"primespark/home/pi-1/state":         `{"at":"2000-01-01T00:00:01Z","cpu":{"used":0.25},"temperature":51.5}`,
		} {
			if got := l.payload(topic); got != want {
				t.Errorf("%s:\n got %s\nwant %s", topic, got, want)
			}
		}
		l.stop()
		pass(time.Second)
		if got := l.payload(topics.Status()); got != "offline" {
			t.Errorf("status after a graceful stop %q, want offline", got)
		}
		if strings.Contains(l.log.String(), "WARN") {
			t.Errorf("log of a good day:\n%s", &l.log)
		}
		l.startUplink(uplink.Config{Broker: "tcp://c1:7883", Topics: topics})
		pass(time.Second)
	})
}

func TestLastWill(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.pipe.Isolate("pi-1")
		pass(5 * time.Minute)
		if got := l.payload(topics.Status()); got != "offline" {
			t.Errorf("status five minutes after the plug was pulled %q, want offline", got)
		}
		l.pipe.Heal()
		pass(3 * time.Minute)
		if got := l.payload(topics.Status()); got != "online" {
			t.Errorf("status with the network back %q, want online", got)
		}
	})
}

func TestBrokerDiesAndComesBack(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.record(telemetry.CPU, 5)
		l.pipe.Cut("pi-1", "c1")
		l.record(telemetry.CPU, 5) // on its way, and never acknowledged
		l.up.Event("on_its_way", "info", "")
		pass(time.Second)
		l.stopBroker()
		l.pipe.Kill("c1")
		l.pipe.Heal()
		l.record(telemetry.CPU, 90) // it is away for a minute and a half
		l.record(telemetry.Disk, 3)
		l.startBroker()
		pass(2 * time.Minute)
		l.whole(telemetry.CPU, 100)
		l.whole(telemetry.Disk, 3)
		l.mu.Lock()
		if len(l.events) != 1 || l.events[0].Code != "on_its_way" {
			t.Errorf("events %+v, want the one of meanwhile", l.events)
		}
		l.mu.Unlock()
		l.stop()
		if n := strings.Count(l.log.String(), "no broker"); n != 1 {
			t.Errorf("told %d times that there is no broker:\n%s", n, &l.log)
		}
		if n := strings.Count(l.log.String(), "connected to broker"); n != 2 {
			t.Errorf("told %d times of a connection:\n%s", n, &l.log)
		}
		l.startUplink(uplink.Config{Broker: "tcp://c1:7883", Topics: topics})
		pass(time.Second)
	})
}

func TestABacklogLeavesRoomForOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.stopBroker()
		l.pipe.Kill("c1")
		for range 3000 {
			if err := l.rec.Record(telemetry.CPU, telemetry.Number(1, "")); err != nil {
				t.Fatal(err)
			}
		}
		pass(2 * time.Second)
		l.startBroker()
		for len(l.got(telemetry.CPU)) == 0 {
			pass(100 * time.Millisecond)
		}
		l.record(telemetry.Disk, 1)
		pass(2 * time.Minute)
		l.whole(telemetry.CPU, 3000)
		l.whole(telemetry.Disk, 1)
		if n := l.box.Waiting(); n != 0 {
			t.Errorf("%d samples still wait", n)
		}
	})
}

// TestHeldBack: while samples are held back, those of the battery, the newest values and
// events still go; afterwards nothing is missing.
func TestHeldBack(t *testing.T) {
	for _, byBroker := range []bool{false, true} {
		inBubble(t, func(t *testing.T, l *lab) {
			l.stop()
			l.startUplink(uplink.Config{Broker: "tcp://c1:7883", Topics: topics, AckByBroker: byBroker})
			l.record(telemetry.CPU, 10)
			pass(5 * time.Second)
			l.hold.Store(true)
			for range 90 {
				l.record(telemetry.CPU, 1)
				l.record(telemetry.Battery, 1)
			}
			l.up.Event("held_back", "info", "")
			pass(5 * time.Second)
			if n := len(l.got(telemetry.CPU)); n != 10 {
				t.Errorf("%d samples of the processor came, want the 10 from before", n)
			}
			if n := len(l.got(telemetry.Battery)); n < 60 || n > 90 {
				t.Errorf("%d samples of the battery came, want those of all but the last minute, once", n)
			}
			if got := l.payload(topics.State()); !strings.Contains(got, `"battery":0`) || len(l.events) != 1 || l.counts[topics.State()] < 20 {
				t.Errorf("state %s, %d times; events %v", got, l.counts[topics.State()], l.events)
			}
			l.hold.Store(false)
			pass(10 * time.Second)
			l.whole(telemetry.CPU, 100)
			l.whole(telemetry.Battery, 90)
			if n := l.box.Waiting(); n != 0 {
				t.Errorf("%d samples still wait", n)
			}
		})
	}
}

// TestNobodyAcknowledges: the broker has everything, the node keeps everything.
func TestNobodyAcknowledges(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.deaf.Store(true)
		l.record(telemetry.CPU, 100)
		pass(2 * time.Minute)
		if n := l.box.Waiting(); n != 100 {
			t.Errorf("%d samples wait, want 100", n)
		}
		if codes := l.conditions.All().Codes(); !slices.Contains(codes, string(uplink.Unacknowledged)) {
			t.Errorf("conditions %v, want %s", codes, uplink.Unacknowledged)
		}
		before := len(l.got(telemetry.CPU))
		pass(time.Minute)
		if again := len(l.got(telemetry.CPU)) - before; again < 100 || again > 2000 {
			t.Errorf("%d samples were sent again in a minute, want the first ones every 5 s", again)
		}
		l.deaf.Store(false)
		pass(time.Minute)
		l.whole(telemetry.CPU, 100)
		if n := l.box.Waiting(); n != 0 || len(l.conditions.All()) != 0 {
			t.Errorf("%d samples wait; conditions %v", n, l.conditions.All().Codes())
		}
	})
}

func TestTheBrokersWordIsEnough(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.stop()
		l.deaf.Store(true)
		l.startUplink(uplink.Config{Broker: "tcp://c1:7883", Topics: topics, AckByBroker: true})
		l.record(telemetry.CPU, 50)
		pass(10 * time.Second)
		l.whole(telemetry.CPU, 50)
		if n := l.box.Waiting(); n != 0 {
			t.Errorf("%d samples wait", n)
		}
	})
}

// TestTakeOver: two nodes of one name throw each other out, which is told, and
// they slow down.
func TestTakeOver(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		rival, err := uplink.New(uplink.Config{Broker: "tcp://c1:7883", Topics: topics, Dial: l.pipe.Host("pi-2").Dial}, record.New(time.Now(), nil), slog.New(slog.DiscardHandler), nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error)
		go func() { done <- rival.Run(ctx) }()
		pass(2 * time.Minute)
		if codes := l.conditions.All().Codes(); !slices.Contains(codes, string(uplink.TakenOver)) {
			t.Errorf("conditions %v, want %s", codes, uplink.TakenOver)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		pass(5 * time.Minute)
		if n := len(l.conditions.All()); n != 0 {
			t.Errorf("%d conditions with the rival gone", n)
		}
	})
}

func TestSilentBrokerIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.pipe.CutOneWay("c1", "pi-1") // it hears us, and we do not hear it
		l.record(telemetry.CPU, 1)
		pass(2 * time.Minute)
		l.pipe.Heal()
		pass(3 * time.Minute)
		l.whole(telemetry.CPU, 1)
		if got := l.payload(topics.Status()); got != "online" {
			t.Errorf("status %q, want online", got)
		}
	})
}

func TestEventsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.stopBroker()
		l.pipe.Kill("c1")
		pass(time.Second)
		for range 1000 {
			l.up.Event("again", "warning", "")
		}
		l.startBroker()
		pass(2 * time.Minute)
		l.mu.Lock()
		defer l.mu.Unlock()
		if n := len(l.events); n != 256 || l.events[0].Seq != 745 || l.events[255].Seq != 1000 {
			t.Errorf("%d events, want the newest 256", n)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for name, cfg := range map[string]uplink.Config{
		"no broker":  {Topics: topics},
		"websocket":  {Broker: "ws://c1", Topics: topics},
		"bad names":  {Broker: "tcp://c1:1883", Topics: telemetry.Topics{Prefix: "p", Cluster: "#", Node: "pi-1"}},
		"bad prefix": {Broker: "tcp://c1:1883", Topics: telemetry.Topics{Prefix: "a/b", Cluster: "home", Node: "pi-1"}},
	} {
		if _, err := uplink.New(cfg, record.New(time.Now(), nil), slog.New(slog.DiscardHandler), nil); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}
