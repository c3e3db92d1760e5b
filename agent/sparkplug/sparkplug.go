// Package sparkplug tells of a node to hosts that speak Sparkplug B, as an edge
// node without devices (Eclipse Sparkplug Specification 3.0): a birth with all
// metrics, data by alias when values change, a death that the broker publishes when
// the node is gone, and another birth when a host asks for one.
//
// It tells the newest values, not the history: what is measured while no broker is
// there waits in the outbox for the coordinators, and hosts hear how things are
// when the node is born again. It has a connection of its own, since the death is
// that connection's last will.
package sparkplug

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/mqttpipe"
	"primespark/shared/run"
	"primespark/shared/telemetry"
)

const (
	waitLeast = time.Second // after a connection that was lost
	waitMost  = time.Minute
	settled   = time.Minute // a connection that lasted so long was a good one
)

// Config says which broker to use and as whom.
type Config struct {
	Pipe   mqttpipe.Config // client identifier and will are filled in
	Topics telemetry.Topics
	Dir    string // keeps the number of the last connection
	Newest func() telemetry.Newest
	Facts  func() []Fact // of the node besides its samples; nil for none
}

// An Edge is the node as hosts see it, while it runs.
type Edge struct {
	cfg     Config
	log     *slog.Logger
	metrics *figures
	table   *table
}

var _ run.Part = (*Edge)(nil)

// New returns an edge that is not connected yet.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Edge, error) {
	if err := cfg.Topics.Check(); err != nil {
		return nil, err
	}
	if cfg.Facts == nil {
		cfg.Facts = func() []Fact { return nil }
	}
	m, err := newFigures(reg)
	if err != nil {
		return nil, err
	}
	cfg.Pipe.ClientID = cfg.Topics.Errand(telemetry.SparkplugErrand)
	return &Edge{cfg: cfg, log: log, metrics: m, table: newTable()}, nil
}

func (e *Edge) String() string { return "sparkplug" }

// Run keeps the edge at the broker until ctx ends. A broker that is away is told of
// when that begins and when it ends.
func (e *Edge) Run(ctx context.Context) error {
	wait, away := waitLeast, false
	for ctx.Err() == nil {
		began := time.Now()
		err := e.session(ctx, func() {
			away = false
			e.log.Info("born at the broker", "broker", e.cfg.Pipe.Broker.Redacted(), "group", e.cfg.Topics.Cluster)
		})
		if ctx.Err() != nil {
			return nil // nobody is left to hear that the farewell was not
		}
		if time.Since(began) > settled {
			wait = waitLeast
		}
		if !away {
			away = true
			e.log.Warn("no broker, Sparkplug hosts take this node for dead", "broker", e.cfg.Pipe.Broker.Redacted(), "err", err,
				"remedy", "check mqtt.broker and that it runs; it is tried again, up to a minute apart")
		}
		run.Sleep(ctx, run.Jitter(wait))
		wait = min(2*wait, waitMost)
	}
	return nil
}

// figures are the edge's own metrics.
type figures struct {
	connected prometheus.Gauge
	births    prometheus.Counter
	messages  prometheus.Counter
}

func newFigures(reg prometheus.Registerer) (*figures, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_sparkplug_" + name, Help: help})
	}
	f := &figures{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_sparkplug_connected", Help: "1 while the Sparkplug connection stands."}),
		births:    counter("births_total", "Births that were published."),
		messages:  counter("data_messages_total", "Messages of changed values that were published."),
	}
	var errs []error
	for _, c := range []prometheus.Collector{f.connected, f.births, f.messages} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register sparkplug metrics: %w", err)
	}
	return f, nil
}
