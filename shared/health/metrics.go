package health

import "github.com/prometheus/client_golang/prometheus"

var (
	descCondition = prometheus.NewDesc("primespark_condition", "1 for each condition that holds, by code and severity.", []string{"code", "severity"}, nil)
	descReady     = prometheus.NewDesc("primespark_ready", "1 if nothing makes the node unready, as /readyz says.", nil, nil)
)

// A Collector shows conditions to Prometheus.
type Collector func() List

// Describe tells the names.
func (Collector) Describe(out chan<- *prometheus.Desc) { out <- descCondition; out <- descReady }

// Collect tells which conditions hold.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	all := c()
	for _, one := range all {
		out <- prometheus.MustNewConstMetric(descCondition, prometheus.GaugeValue, 1, string(one.Code), string(one.Severity))
	}
	ready := 1.0
	if len(all.Reasons()) > 0 {
		ready = 0
	}
	out <- prometheus.MustNewConstMetric(descReady, prometheus.GaugeValue, ready)
}
