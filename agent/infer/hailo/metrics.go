package hailo

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	chip "primespark/hailo"
)

// Metrics shows the figures of the accelerator to Prometheus.
type Metrics struct{ Status func() chip.Status }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("primespark_hailo_"+name, help, labels, nil)
}

// The metrics, in base units.
var (
	ready       = desc("ready", "1 if the accelerator is ready.", "state")
	simulated   = desc("simulated", "1 if no chip answers but a double of its library.")
	temperature = desc("temperature_celsius", "Temperature of the chip.", "sensor")
	power       = desc("power_watts", "Power of the accelerator.")
	utilization = desc("utilization_ratio", "How much of the last second the chip worked, from 0 to 1, as HailoRT says.")
	restarts    = desc("worker_restarts_total", "How often the worker was replaced.")
	memory      = desc("worker_memory_bytes", "Memory of the worker.")
	linkErrors  = desc("link_errors_total", "Errors of the PCIe link that were put right.")
	frames      = desc("frames_total", "Inferences that were answered.", "model")
	failures    = desc("errors_total", "Inferences that were not.", "model", "code")
	inFlight    = desc("in_flight", "Inferences under way.", "model")
	latency     = desc("latency_seconds", "Time of the last inferences within HailoRT.", "model", "quantile")
)

// Describe tells of all of them.
func (Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ready, simulated, temperature, power, utilization, restarts, memory, linkErrors, frames, failures, inFlight, latency} {
		to <- d
	}
}

// Collect tells them as they are; what is not known is left out.
func (m Metrics) Collect(to chan<- prometheus.Metric) {
	st := m.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(ready, number(st.State == chip.StateReady), string(st.State))
	gauge(simulated, number(st.Simulated))
	for i, t := range st.Temperature {
		gauge(temperature, t, strconv.Itoa(i))
	}
	if st.PowerW != nil {
		gauge(power, *st.PowerW)
	}
	if st.Utilization != nil {
		gauge(utilization, *st.Utilization)
	}
	counter(restarts, float64(st.Restarts))
	gauge(memory, float64(st.Worker.RSS))
	if c, ok := st.Facts.Chip(); ok {
		counter(linkErrors, float64(c.AERCorrectable))
	}
	for _, model := range st.Models {
		counter(frames, float64(model.Frames), model.Name)
		gauge(inFlight, float64(model.InFlight), model.Name)
		gauge(latency, model.Library.P50/1000, model.Name, "0.5")
		gauge(latency, model.Library.P95/1000, model.Name, "0.95")
		for code, n := range model.Errors {
			counter(failures, float64(n), model.Name, string(code))
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
