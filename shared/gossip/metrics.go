package gossip

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/fleet"
)

type metrics struct {
	members *prometheus.GaugeVec
	records *prometheus.CounterVec
	deaths  prometheus.Counter
	flaps   prometheus.Counter
	joins   prometheus.Counter
	refused prometheus.Counter
	health  prometheus.Gauge
	rtt     prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "primespark_gossip_" + name, Help: help})
	}
	m := &metrics{
		members: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "primespark_gossip_members",
			Help: "Nodes that this one knows, itself included, by liveness.",
		}, []string{"liveness"}),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_gossip_records_total",
			Help: "Records that came in, by what they were worth.",
		}, []string{"verdict"}),
		deaths:  counter("deaths_total", "Nodes that were declared dead."),
		flaps:   counter("flaps_total", "Nodes that were alive again within a minute of their death."),
		joins:   counter("joins_total", "Attempts to join a seed or a lost member."),
		refused: counter("refused_total", "Times that a node was refused which is not in the mesh's map."),
		health: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "primespark_gossip_health_score",
			Help: "How late this node is itself: 0 is good, 7 the worst.",
		}),
		rtt: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "primespark_gossip_probe_seconds",
			Help: "Round trip of probes that were answered.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 7),
		}),
	}
	err := errors.Join(register(reg, &m.members), register(reg, &m.records), register(reg, &m.deaths),
		register(reg, &m.flaps), register(reg, &m.joins), register(reg, &m.refused), register(reg, &m.health), register(reg, &m.rtt))
	if err != nil {
		return nil, fmt.Errorf("register gossip metrics: %w", err)
	}
	return m, nil
}

// register registers a metric, or goes on with that of an earlier Gossip of the
// same process: a node that moves begins anew, and its counts do not.
func register[C prometheus.Collector](reg prometheus.Registerer, c *C) error {
	err := reg.Register(*c)
	if earlier, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := earlier.ExistingCollector.(C); ok {
			*c = same
			return nil
		}
	}
	return err
}

// count sets the gauge of members by a view.
func (m *metrics) count(v fleet.View) {
	by := map[fleet.Liveness]int{fleet.Alive: 0, fleet.LinkDown: 0, fleet.Dead: 0, fleet.Left: 0}
	for _, n := range v {
		by[n.Liveness]++
	}
	for l, n := range by {
		m.members.WithLabelValues(string(l)).Set(float64(n))
	}
}
