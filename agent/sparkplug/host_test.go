package sparkplug

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"primespark/coordinator/broker/brokertest"
	"primespark/shared/mqttpipe"
	"primespark/shared/mqttpipe/mqttpipetest"
	"primespark/shared/telemetry"
)

var topics = telemetry.Topics{Prefix: "primespark", Cluster: "home", Node: "pi-1"}

// A host is one that knows Sparkplug by the schema alone.
type host struct {
	t      *testing.T
	schema protoreflect.MessageDescriptor
	client mqtt.Client
	came   chan told
	names  map[uint64]string // by alias, as the last birth said
}

// A told message is what a host makes of one.
type told struct {
	kind   string
	seq    uint64
	hasSeq bool
	bdSeq  int64
	named  int               // metrics with a name
	values map[string]string // by name; data is looked up by alias
}

func newHost(t *testing.T, addr string) *host {
	t.Helper()
	h := &host{t: t, schema: schema(t), came: make(chan told, 1000), names: map[uint64]string{}}
	h.client = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("host").SetAutoReconnect(false))
	h.wait(h.client.Connect())
	t.Cleanup(func() { h.client.Disconnect(0) })
	h.wait(h.client.Subscribe("spBv1.0/home/+/pi-1", 1, h.take))
	return h
}

func (h *host) wait(token mqtt.Token) {
	h.t.Helper()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		h.t.Fatalf("no answer of the broker, or %v", token.Error())
	}
}

// take reads a message. The library calls it, one message at a time.
func (h *host) take(_ mqtt.Client, m mqtt.Message) {
	kind := strings.Split(m.Topic(), "/")[2]
	if kind == "NCMD" {
		return
	}
	if m.Retained() {
		h.t.Errorf("%s is retained", m.Topic())
	}
	p := dynamicpb.NewMessage(h.schema)
	if err := proto.Unmarshal(m.Payload(), p); err != nil {
		h.t.Error(err)
		return
	}
	field := func(m protoreflect.Message, name protoreflect.Name) protoreflect.FieldDescriptor {
		return m.Descriptor().Fields().ByName(name)
	}
	out := told{kind: kind, hasSeq: p.Has(field(p, "seq")), seq: p.Get(field(p, "seq")).Uint(), bdSeq: -1, values: map[string]string{}}
	if !p.Has(field(p, "timestamp")) {
		h.t.Errorf("%s has no timestamp", m.Topic())
	}
	metrics := p.Get(field(p, "metrics")).List()
	for i := range metrics.Len() {
		one := metrics.Get(i).Message()
		name, alias := one.Get(field(one, "name")).String(), one.Get(field(one, "alias")).Uint()
		if name != "" {
			out.named++
		}
		if kind == "NBIRTH" && alias > 0 {
			h.names[alias] = name
		}
		if name == "" {
			name = h.names[alias]
		}
		if name == "bdSeq" {
			out.bdSeq = int64(one.Get(field(one, "long_value")).Uint())
		}
		value := "null"
		if which := one.WhichOneof(one.Descriptor().Oneofs().ByName("value")); which != nil {
			value = one.Get(which).String()
		}
		if !one.Has(field(one, "datatype")) || !one.Has(field(one, "timestamp")) {
			h.t.Errorf("%s: %s has no type or time: %s", kind, name, protojson.Format(p))
		}
		out.values[name] = value
	}
	h.came <- out
}

// next waits for the next message, which is to be of that kind.
func (h *host) next(kind string) told {
	h.t.Helper()
	select {
	case m := <-h.came:
		if m.kind != kind {
			h.t.Fatalf("%+v came, want %s", m, kind)
		}
		return m
	case <-time.After(20 * time.Second):
		h.t.Fatalf("no %s came", kind)
	}
	return told{}
}

// command asks for a birth, as the schema writes it.
func (h *host) command() {
	h.t.Helper()
	m := dynamicpb.NewMessage(h.schema)
	if err := protojson.Unmarshal([]byte(`{"timestamp": 1, "metrics": [{"name": "Node Control/Rebirth", "timestamp": 1, "datatype": 11, "booleanValue": true}]}`), m); err != nil {
		h.t.Fatal(err)
	}
	b, err := proto.Marshal(m)
	if err != nil {
		h.t.Fatal(err)
	}
	h.wait(h.client.Publish("spBv1.0/home/NCMD/pi-1", 1, false, b))
}

// A pi is the node's side: what it measures, and a cable that can be cut.
type pi struct {
	mu     sync.Mutex
	newest telemetry.Newest
	conns  []net.Conn
}

func (p *pi) measure(stream telemetry.Stream, v telemetry.Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = maps.Clone(p.newest)
	p.newest[stream] = telemetry.Sample{Boot: 1, Seq: 1, At: time.Now(), Value: v}
}

func (p *pi) all() telemetry.Newest { p.mu.Lock(); defer p.mu.Unlock(); return p.newest }

func (p *pi) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	return cable{c}, nil
}

// A cable tells of its end in other words than a connection that was closed here,
// which the library takes for its own doing.
type cable struct{ net.Conn }

func (c cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if errors.Is(err, net.ErrClosed) {
		err = errors.New("the cable was cut")
	}
	return n, err
}

func (p *pi) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// edge runs the edge of a node until stop.
func (p *pi) edge(t *testing.T, addr, dir string) (stop func()) {
	t.Helper()
	at, err := mqttpipe.Parse("tcp://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Config{
		Pipe: mqttpipe.Config{Broker: at, Dial: p.dial}, Topics: topics, Dir: dir, Newest: p.all,
		Facts: func() []Fact { return []Fact{{"Node/ready", true}, {"Node/mode", "normal"}} },
	}, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestMosquitto(t *testing.T) { life(t, mqttpipetest.Mosquitto(t)) }

func TestEmbeddedBroker(t *testing.T) { life(t, brokertest.Loopback(t).Addr()) }

// life is the story of a node at a broker, as a host sees it.
func life(t *testing.T, addr string) {
	h, p, dir := newHost(t, addr), &pi{newest: telemetry.Newest{}}, t.TempDir()
	p.measure(telemetry.CPU, telemetry.Fields(map[string]float64{"used": 0.25, "load_1m": 0.5}))
	p.measure(telemetry.Temperature, telemetry.Number(51.5, "°C"))
	stop := p.edge(t, addr, dir)
	defer stop()

	first := h.next("NBIRTH")
	want := map[string]string{
		"bdSeq": "0", "Node Control/Rebirth": "false", "cpu/used": "0.25", "cpu/load_1m": "0.5", "temperature": "51.5", "Node/ready": "true", "Node/mode": "normal",
	}
	if !maps.Equal(first.values, want) || !first.hasSeq || first.seq != 0 || first.named != len(want) {
		t.Fatalf("born as %+v, want %v with sequence 0", first, want)
	}
	aliases := maps.Clone(h.names)

	for i, used := range []float64{0.5, 0.75} {
		p.measure(telemetry.CPU, telemetry.Fields(map[string]float64{"used": used, "load_1m": 0.5}))
		if d := h.next("NDATA"); d.seq != uint64(i+1) || d.named != 0 || len(d.values) != 1 || d.values["cpu/used"] == "" {
			t.Fatalf("data %+v, want the one change by alias, sequence %d", d, i+1)
		}
	}

	h.command()
	if b := h.next("NBIRTH"); b.seq != 0 || b.bdSeq != 0 || b.values["cpu/used"] != "0.75" || !maps.Equal(aliases, h.names) {
		t.Fatalf("born again as %+v with %v; want sequence 0, the same bdSeq and aliases %v", b, h.names, aliases)
	}

	p.measure(telemetry.Battery, telemetry.Fields(map[string]float64{"volts": 3.9}))
	if b := h.next("NBIRTH"); b.values["battery/volts"] != "3.9" {
		t.Fatalf("with a new stream: %+v", b)
	}
	p.measure(telemetry.Battery, telemetry.Fields(map[string]float64{}))
	if d := h.next("NDATA"); d.seq != 1 || d.values["battery/volts"] != "null" {
		t.Fatalf("with a field that is gone: %+v, want null", d)
	}

	p.cut()
	if d := h.next("NDEATH"); d.hasSeq || d.bdSeq != 0 {
		t.Fatalf("the broker's word of its death: %+v, want bdSeq 0 and no sequence", d)
	}
	if b := h.next("NBIRTH"); b.bdSeq != 1 || b.seq != 0 {
		t.Fatalf("back as %+v, want bdSeq 1", b)
	}
	stop()
	if d := h.next("NDEATH"); d.hasSeq || d.bdSeq != 1 {
		t.Fatalf("its own word of its death: %+v, want bdSeq 1", d)
	}
	defer p.edge(t, addr, dir)() // another process
	if b := h.next("NBIRTH"); b.bdSeq != 2 {
		t.Fatalf("started anew as %+v, want bdSeq 2", b)
	}
	if left := slices.Sorted(maps.Keys(h.names)); len(left) < len(aliases) {
		t.Errorf("aliases %v", left)
	}
}
