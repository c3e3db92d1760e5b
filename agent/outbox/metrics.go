package outbox

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	waiting  prometheus.Gauge
	bytes    prometheus.Gauge
	commits  prometheus.Counter
	failures prometheus.Counter
	dropped  prometheus.Counter
	full     atomic.Bool // it was told that the disk takes nothing
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_outbox_" + name, Help: help})
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_outbox_" + name, Help: help})
	}
	m := &metrics{
		waiting:  gauge("waiting_samples", "Samples that nobody has acknowledged yet."),
		bytes:    gauge("used_bytes", "Bytes of the samples that wait on disk."),
		commits:  counter("commits_total", "Transactions on the disk."),
		failures: counter("commit_failures_total", "Transactions that the disk did not take."),
		dropped:  counter("dropped_samples_total", "Samples that were dropped before anybody had stored them."),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.waiting, m.bytes, m.commits, m.failures, m.dropped} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register outbox metrics: %w", err)
	}
	return m, nil
}
