package uplink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"primespark/agent/outbox"
	"primespark/agent/record"
	"primespark/agent/uplink"
	"primespark/coordinator/broker"
	"primespark/shared/health"
	"primespark/shared/logs"
	"primespark/shared/pipenet"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

var topics = telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}

// A lab is one node and one broker on a network, all in a bubble.
type lab struct {
	t    *testing.T
	pipe pipenet.Net
	rec  *record.Recorder
	box  *outbox.Box
	up   *uplink.Uplink
	log  bytes.Buffer // read after stop
	inbox
	conditions *health.Registry
	hold       *watch.Value[bool] // of the box

	reader     mqtt.Client
	stopBroker func()
	stop       func() // the uplink
}

// An inbox is what a subscriber has got.
type inbox struct {
	deaf     atomic.Bool // it acknowledges nothing
	publish  func(topic string, payload []byte) error
	mu       sync.Mutex
	samples  map[telemetry.Stream][]uint64 // sequences as they came
	events   []telemetry.Event
	retained map[string]string
	payloads map[string]string // the newest of each topic
	counts   map[string]int    // messages of each topic
}

// ack answers as the coordinators do, with the sequence up to which all has come.
func (in *inbox) ack(stream telemetry.Stream, boot int64) {
	have := map[uint64]bool{}
	for _, seq := range in.samples[stream] {
		have[seq] = true
	}
	upTo := uint64(0)
	for have[upTo+1] {
		upTo++
	}
	payload, err := json.Marshal(telemetry.Ack{Boot: boot, Streams: map[telemetry.Stream]uint64{stream: upTo}})
	if err != nil {
		panic(err)
	}
	go in.publish(topics.Ack(), payload) // the library must not be held up; one that is lost comes again
}

func (in *inbox) take(_ mqtt.Client, m mqtt.Message) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.payloads[m.Topic()] = string(m.Payload())
	in.counts[m.Topic()]++
	if m.Retained() {
		in.retained[m.Topic()] = string(m.Payload())
	}
	if stream, ok := strings.CutPrefix(m.Topic(), topics.Base()+"t/"); ok {
		batch, err := telemetry.ParseBatch(telemetry.Stream(stream), m.Payload())
		if err != nil {
			panic(err)
		}
		for _, s := range batch {
			if s.Gap == nil {
				in.samples[s.Stream] = append(in.samples[s.Stream], s.Seq)
			}
		}
		if !in.deaf.Load() {
			in.ack(telemetry.Stream(stream), batch[0].Boot)
		}
	}
	if m.Topic() == topics.Events() {
		var e telemetry.Event
		if err := json.Unmarshal(m.Payload(), &e); err != nil {
			panic(err)
		}
		in.events = append(in.events, e)
	}
}

// inBubble tells a story with a broker that runs and an uplink to it.
func inBubble(t *testing.T, story func(*testing.T, *lab)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, conditions: health.New(nil), hold: watch.New(false)}
		var done func()
		l.box, done = openBox(t, dir, l.hold)
		defer done()
		l.rec = record.New(time.Now(), l.box)
		l.samples, l.retained, l.payloads = map[telemetry.Stream][]uint64{}, map[string]string{}, map[string]string{}
		l.counts = map[string]int{}
		l.startBroker()
		l.startUplink(uplink.Config{Broker: "tcp://c1:7883", Topics: topics})
		pass(time.Second)
		story(t, l)
		l.stop()
		l.stopBroker()
		pass(time.Minute) // the clients let go of what they held
	})
}

// openBox opens an outbox that runs until done.
func openBox(t *testing.T, dir string, hold *watch.Value[bool]) (box *outbox.Box, done func()) {
	t.Helper()
	box, err := outbox.Open(outbox.Config{
		Dir: dir, MaxSize: 1 << 30, MaxAge: 24 * time.Hour, Every: func() time.Duration { return time.Second },
		Hold: hold, Conditions: health.New(nil), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- box.Run(ctx) }()
	return box, func() {
		cancel()
		if err := errors.Join(<-ended, box.Close()); err != nil {
			t.Error(err)
		}
	}
}

// pass lets time pass, and what it brings be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// onLoopback is a listener of another host that the broker takes for local.
type onLoopback struct{ net.Listener }

func (onLoopback) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7883} }

// startBroker starts a broker on c1, and the subscriber there.
func (l *lab) startBroker() {
	l.t.Helper()
	host := l.pipe.Host("c1")
	listener, err := host.Listen(l.t.Context(), "tcp", ":7883")
	if err != nil {
		l.t.Fatal(err)
	}
	b, err := broker.New(onLoopback{listener}, broker.Config{Prefix: "primespark", Cluster: "home"}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	l.publish = b.Publish
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	synctest.Wait()
	o := mqtt.NewClientOptions().AddBroker("tcp://c1:7883").SetClientID("reader").SetAutoReconnect(false).
		SetCustomOpenConnectionFn(func(at *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			return host.Dial(context.Background(), "tcp", at.Host)
		})
	reader := mqtt.NewClient(o)
	wait(l.t, reader.Connect())
	wait(l.t, reader.Subscribe("primespark/#", 1, l.take))
	wait(l.t, reader.Subscribe("homeassistant/#", 1, l.take))
	l.reader = reader
	l.stopBroker = func() {
		reader.Disconnect(100)
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	}
}

func wait(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(10*time.Second) || token.Error() != nil {
		t.Fatalf("no answer of the broker, or %v", token.Error())
	}
}

func (l *lab) startUplink(cfg uplink.Config) {
	l.t.Helper()
	cfg.Dial, cfg.Box, cfg.Conditions = l.pipe.Host("pi-1").Dial, l.box, l.conditions
	up, err := uplink.New(cfg, l.rec, logs.New(&l.log, logs.Options{}), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- up.Run(ctx) }()
	l.up = up
	l.stop = func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	}
}

// record records n values of a stream, one a second.
func (l *lab) record(stream telemetry.Stream, n int) {
	l.t.Helper()
	for i := range n {
		if err := l.rec.Record(stream, telemetry.Number(float64(i), "")); err != nil {
			l.t.Fatal(err)
		}
		pass(time.Second)
	}
}

// got returns what came of a stream, in the order in which it came.
func (l *lab) got(stream telemetry.Stream) []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]uint64(nil), l.samples[stream]...)
}

func (l *lab) payload(topic string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.payloads[topic]
}

// whole checks that all n samples of a stream came, whatever came again.
func (l *lab) whole(stream telemetry.Stream, n uint64) {
	l.t.Helper()
	have := map[uint64]bool{}
	for _, seq := range l.got(stream) {
		have[seq] = true
	}
	for seq := uint64(1); seq <= n; seq++ {
		if !have[seq] {
			l.t.Errorf("%s: %d did not come, of %d", stream, seq, n)
			return
		}
	}
	if len(have) != int(n) {
		l.t.Errorf("%s: %d came, want %d", stream, len(have), n)
	}
}
