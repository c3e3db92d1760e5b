package uplink

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connected prometheus.Gauge
	messages  prometheus.Counter
	samples   prometheus.Counter
	losses    prometheus.Counter
	resends   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_uplink_" + name, Help: help})
	}
	m := &metrics{
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_uplink_connected", Help: "1 while the broker is connected."}),
		messages:  counter("messages_total", "Messages of samples and events that were sent."),
		samples:   counter("samples_acknowledged_total", "Samples that were acknowledged."),
		resends:   counter("resends_total", "Times that samples were sent again, since nobody acknowledged them."),
		losses:    counter("connection_losses_total", "Connections that were lost or not made."),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.connected, m.messages, m.samples, m.losses, m.resends} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register uplink metrics: %w", err)
	}
	return m, nil
}
