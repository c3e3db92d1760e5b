package native

import (
	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/worker"
)

// Metrics shows the figures that every engine in a worker process has to Prometheus.
// Make it with NewMetrics.
type Metrics struct {
	status func() worker.Status

	ready, restarts, memory, frames, failures, inFlight, latency *prometheus.Desc
}

// NewMetrics are those of an engine of that name: primespark_NAME_ready and so on.
func NewMetrics(name string, status func() worker.Status) *Metrics {
	desc := func(what, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("primespark_"+name+"_"+what, help, labels, nil)
	}
	return &Metrics{
		status:   status,
		ready:    desc("ready", "1 if the engine is ready.", "state"),
		restarts: desc("worker_restarts_total", "How often the worker was replaced."),
		memory:   desc("worker_memory_bytes", "Memory of the worker."),
		frames:   desc("frames_total", "Inferences that were answered.", "model"),
		failures: desc("errors_total", "Inferences that were not.", "model", "code"),
		inFlight: desc("in_flight", "Inferences under way.", "model"),
		latency:  desc("latency_seconds", "Time of the last inferences within the engine's library.", "model", "quantile"),
	}
}

// Describe tells of all of them.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.ready, m.restarts, m.memory, m.frames, m.failures, m.inFlight, m.latency} {
		to <- d
	}
}

// Gauge sends what may rise and fall.
func Gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Counter sends what only rises.
func Counter(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

// Collect tells them as they are; what is not known is left out.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	st := m.status()
	Gauge(to, m.ready, Number(st.State == worker.StateReady || st.State == worker.StateIdle), string(st.State))
	Counter(to, m.restarts, float64(st.Restarts))
	Gauge(to, m.memory, float64(st.Worker.RSS))
	for _, model := range st.Models {
		Counter(to, m.frames, float64(model.Frames), model.Name)
		Gauge(to, m.inFlight, float64(model.InFlight), model.Name)
		Gauge(to, m.latency, model.Library.P50/1000, model.Name, "0.5")
		Gauge(to, m.latency, model.Library.P95/1000, model.Name, "0.95")
		for code, n := range model.Errors {
			Counter(to, m.failures, float64(n), model.Name, string(code))
		}
	}
}

// Number is 1 for true and 0 for false.
func Number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
