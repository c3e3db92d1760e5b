package hailo

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer/native"
	chip "primespark/hailo"
	"primespark/shared/worker"
)

// Metrics shows the figures of the accelerator to Prometheus. Make it with NewMetrics.
type Metrics struct {
	*native.Metrics // what every engine in a worker has
	status          func() chip.Status
}

// NewMetrics are those of an accelerator.
func NewMetrics(status func() chip.Status) Metrics {
	return Metrics{native.NewMetrics("hailo", func() worker.Status { return status().Status }), status}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("primespark_hailo_"+name, help, labels, nil)
}

// The metrics of its own, in base units.
var (
	simulated   = desc("simulated", "1 if no chip answers but a double of its library.")
	temperature = desc("temperature_celsius", "Temperature of the chip.", "sensor")
	power       = desc("power_watts", "Power of the accelerator.")
	utilization = desc("utilization_ratio", "How much of the last second the chip worked, from 0 to 1, as HailoRT says.")
	linkErrors  = desc("link_errors_total", "Errors of the PCIe link that were put right.")
)

// Describe tells of all of them.
func (m Metrics) Describe(to chan<- *prometheus.Desc) {
	m.Metrics.Describe(to)
	for _, d := range []*prometheus.Desc{simulated, temperature, power, utilization, linkErrors} {
		to <- d
	}
}

// Collect tells them as they are; what is not known is left out.
func (m Metrics) Collect(to chan<- prometheus.Metric) {
	m.Metrics.Collect(to)
	st := m.status()
	native.Gauge(to, simulated, native.Number(st.Simulated))
	for i, t := range st.Temperature {
		native.Gauge(to, temperature, t, strconv.Itoa(i))
	}
	if st.PowerW != nil {
		native.Gauge(to, power, *st.PowerW)
	}
	if st.Utilization != nil {
		native.Gauge(to, utilization, *st.Utilization)
	}
	if c, ok := st.Facts.Chip(); ok {
		native.Counter(to, linkErrors, float64(c.AERCorrectable))
	}
}
