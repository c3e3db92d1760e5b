package duties

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	held    prometheus.Gauge
	tasks   *prometheus.CounterVec
	seconds prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		held:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_duties_leases_held", Help: "Tasks that this node holds a lease of."}),
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "primespark_duties_tasks_total", Help: "Tasks by how they ended here."}, []string{"outcome"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "primespark_duties_work_seconds", Help: "Time that the work of one task took, the wait for the engine included.",
			Buckets: prometheus.ExponentialBuckets(0.005, 4, 8),
		}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.held, m.tasks, m.seconds} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register the metrics of duties: %w", err)
	}
	return m, nil
}

func (m *metrics) ended(outcome string) { m.tasks.WithLabelValues(outcome).Inc() }
