// Package broker is a small MQTT broker within the coordinator, for fleets that
// have none. It keeps nothing on disk: retained messages and sessions are gone
// when it stops.
//
// In the clear it serves loopback only. Elsewhere it wants TLS and a client
// certificate of the cluster, and then a node may publish its own topics and
// nothing else, so that none can speak for another. On loopback the client's
// identifier stands for the certificate, which guards against mistakes, not
// against a program on the same machine.
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/identity"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

const (
	packetBytes = telemetry.BatchBytes + 1<<10 // a batch of samples, its topic and the header
	clientsMost = 256
	pendingMost = 512     // messages that wait for a slow reader; more are dropped
	expirySecs  = 10 * 60 // of the session of a client that is gone
	sysSecs     = 60      // between the broker's words on itself, below $SYS
)

// Config says whose topics the broker carries.
type Config struct {
	Prefix, Cluster string

	// TLS asks for client certificates, as identity.ServerTLS with
	// tls.RequireAnyClientCert does. Without it the listener must be on loopback.
	TLS *tls.Config
	// Refused tells of certificates that have been revoked, which is asked at each
	// message: a session may be older than the revocation. Nil refuses none.
	Refused func(id identity.ID, keyHash string) bool
}

// A Broker serves while it runs.
type Broker struct {
	server *mqtt.Server
	addr   string
	base   string // of the cluster's topics
	log    *slog.Logger
}

var _ run.Part = (*Broker)(nil)

// New returns a broker for l, which it closes when it has run.
func New(l net.Listener, cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Broker, error) {
	if err := check(l, cfg); err != nil {
		return nil, err
	}
	can := mqtt.NewDefaultServerCapabilities()
	can.MaximumClients = clientsMost
	can.MaximumPacketSize = packetBytes
	can.MaximumClientWritesPending = pendingMost
	can.MaximumInflight = pendingMost
	can.MaximumSessionExpiryInterval = expirySecs
	can.MaximumQos = 1
	can.TopicAliasMaximum = 64
	quiet := slog.New(quieted{log.Handler()})
	server := mqtt.New(&mqtt.Options{Capabilities: can, Logger: quiet, SysTopicResendInterval: sysSecs, InlineClient: true})
	if err := server.AddHook(&guard{cfg: cfg, log: log}, nil); err != nil {
		return nil, fmt.Errorf("set up mqtt broker: %w", err)
	}
	addr := l.Addr().String()
	l = newGate(l)
	if cfg.TLS != nil {
		l = tls.NewListener(l, cfg.TLS)
	}
	if err := server.AddListener(listeners.NewNet("mqtt", l)); err != nil {
		return nil, fmt.Errorf("set up mqtt broker: %w", err)
	}
	if err := register(reg, server); err != nil {
		return nil, err
	}
	return &Broker{server, addr, cfg.Prefix + "/" + cfg.Cluster + "/", log}, nil
}

func check(l net.Listener, cfg Config) error {
	if err := (telemetry.Topics{Prefix: cfg.Prefix, Cluster: cfg.Cluster, Node: "any"}).Check(); err != nil {
		return err
	}
	if cfg.TLS == nil {
		at, err := netip.ParseAddrPort(l.Addr().String())
		if err != nil || !at.Addr().Unmap().IsLoopback() {
			return fmt.Errorf("mqtt broker at %s: without TLS it listens on loopback only; give mqtt.listen 127.0.0.1:7883, or leave TLS on", l.Addr())
		}
		return nil
	}
	if a := cfg.TLS.ClientAuth; a != tls.RequireAnyClientCert && a != tls.RequireAndVerifyClientCert {
		return errors.New("mqtt broker: its TLS does not ask for client certificates")
	}
	return nil
}

// Addr is the host:port at which it listens.
func (b *Broker) Addr() string { return b.addr }

// Run serves until ctx ends.
func (b *Broker) Run(ctx context.Context) error {
	if err := b.server.Serve(); err != nil {
		return fmt.Errorf("serve mqtt: %w", err)
	}
	b.log.Info("mqtt broker up", "addr", b.addr)
	<-ctx.Done()
	if err := b.server.Close(); err != nil {
		return fmt.Errorf("stop mqtt: %w", err)
	}
	return nil
}

// Consume has take be called with each message of samples that a node publishes, on
// the goroutine of its connection: it must not wait. It is called before Run.
func (b *Broker) Consume(take func(topic string, payload []byte)) error {
	filter := b.base + "+/t/+"
	err := b.server.Subscribe(filter, 1, func(_ *mqtt.Client, _ packets.Subscription, pk packets.Packet) {
		take(pk.TopicName, pk.Payload)
	})
	if err != nil {
		return fmt.Errorf("listen to %s: %w", filter, err)
	}
	return nil
}

// Publish sends a message in the coordinator's own name.
func (b *Broker) Publish(topic string, payload []byte) error {
	if err := b.server.Publish(topic, payload, false, 1); err != nil {
		return fmt.Errorf("publish to %s: %w", topic, err)
	}
	return nil
}

func (b *Broker) String() string { return "mqtt broker" }

// register shows the broker's own counters.
func register(reg prometheus.Registerer, s *mqtt.Server) error {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	number := func(n *int64) func() float64 { return func() float64 { return float64(atomic.LoadInt64(n)) } }
	gauge := func(name, help string, n *int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "primespark_broker_" + name, Help: help}, number(n))
	}
	counter := func(name, help string, n *int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "primespark_broker_" + name, Help: help}, number(n))
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		gauge("clients", "Clients that are connected.", &s.Info.ClientsConnected),
		gauge("retained_messages", "Messages that are kept for new subscribers.", &s.Info.Retained),
		counter("messages_received_total", "Messages from clients.", &s.Info.MessagesReceived),
		counter("messages_sent_total", "Messages to clients.", &s.Info.MessagesSent),
		counter("messages_dropped_total", "Messages that a slow client missed.", &s.Info.MessagesDropped),
	} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("register broker metrics: %w", err)
	}
	return nil
}
