package ingest

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	latency   prometheus.Histogram
	refused   prometheus.Counter
	followed  *prometheus.CounterVec
	connected prometheus.Gauge
	messages  prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "primespark_ingest_seconds", Help: "From samples that came in to their acknowledgement.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_ingest_refused_total", Help: "Messages that were not of a node that takes part, or not readable."}),
		followed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_ingest_followed_rows_total", Help: "Rows that were read from the logs of other coordinators.",
		}, []string{"coordinator"}),
		connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "primespark_ingest_broker_connected", Help: "1 while this coordinator listens to the MQTT broker."}),
		messages:  prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_ingest_broker_messages_total", Help: "Messages with samples that came by MQTT."}),
	}
	var errs []error
	for _, c := range []prometheus.Collector{m.latency, m.refused, m.followed, m.connected, m.messages} {
		errs = append(errs, reg.Register(c))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("register ingest metrics: %w", err)
	}
	return m, nil
}
