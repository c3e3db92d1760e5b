package sinks

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows, rejected, failures, lost prometheus.Counter
	connected                      prometheus.Gauge
	oldest                         atomic.Int64 // Unix ms of the oldest row that waits; 0 if none does
}

func newMetrics(reg prometheus.Registerer, sink string) (*metrics, error) {
	labels := prometheus.Labels{"sink": sink}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_sink_" + name + "_total", Help: help, ConstLabels: labels})
	}
	gauge := prometheus.GaugeOpts{Name: "primespark_sink_connected", Help: "1 on the coordinator that feeds the sink, while it takes rows.", ConstLabels: labels}
	m := &metrics{
		rows:      counter("rows", "Rows that the sink has taken."),
		rejected:  counter("rejected_rows", "Rows that the sink will never take, and that were left out."),
		failures:  counter("failures", "Times that the sink failed or could not be reached."),
		lost:      counter("lost_rows", "Rows that fell out of the history before the sink had them."),
		connected: prometheus.NewGauge(gauge),
	}
	lag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "primespark_sink_lag_seconds", Help: "Age of the oldest row that the sink does not have yet; 0 when it has all.", ConstLabels: labels,
	}, m.lag)
	var errs []error
	for _, c := range []prometheus.Collector{m.rows, m.rejected, m.failures, m.lost, m.connected, lag} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the metrics of a sink: %w", err)
	}
	return m, nil
}

func (m *metrics) behind(oldest time.Time) { m.oldest.Store(max(1, oldest.UnixMilli())) }
func (m *metrics) caughtUp()               { m.oldest.Store(0) }

func (m *metrics) lag() float64 {
	oldest := m.oldest.Load()
	if oldest == 0 {
		return 0
	}
	return max(0, time.Since(time.UnixMilli(oldest)).Seconds())
}
