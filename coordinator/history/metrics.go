package history

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	rows     prometheus.Counter
	commits  prometheus.Counter
	failures prometheus.Counter
	newest   prometheus.Gauge
	size     prometheus.Gauge
	ruined   prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		rows:     prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_history_rows_total", Help: "Samples that were stored, each once."}),
		commits:  prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_history_commits_total", Help: "Transactions in which samples were stored."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_history_write_failures_total", Help: "Times that the disk did not take samples."}),
		newest:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_history_newest_row", Help: "Number of the newest row in this coordinator's log."}),
		size:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_history_used_bytes", Help: "Bytes of the file that are in use."}),
		ruined:   prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_history_damaged_records_total", Help: "Records that were found damaged since the start, and left out."}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.rows, m.commits, m.failures, m.newest, m.size, m.ruined} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register history metrics: %w", err)
	}
	return m, nil
}
