package api

import (
	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/infer"
)

// metrics are what Prometheus learns of inference on this node.
type metrics struct {
	requests *prometheus.CounterVec
	inFlight prometheus.Gauge
	kept     *prometheus.CounterVec
	working  *prometheus.GaugeVec
	batch    *prometheus.HistogramVec
	run      *prometheus.HistogramVec
	joules   *prometheus.CounterVec
	seconds  map[string]*prometheus.HistogramVec // by step
}

// Half a millisecond to ten seconds: the quickest net on a CPU to a full queue.
var buckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMetrics(to prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_inference_requests_total",
			Help: "Inference requests answered, by model and by how they ended: ok, gone (the client left) or the code of the error.",
		}, []string{"model", "code"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "primespark_inference_in_flight",
			Help: "Inference requests being answered, those waiting in a queue included.",
		}),
		kept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_inference_cache_requests_total",
			Help: "Inference requests that looked for a result of before, by model and by what came of it: hit or miss.",
		}, []string{"model", "result"}),
		working: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "primespark_model_in_flight", Help: "Inference requests of a model being answered, those waiting in a queue included.",
		}, []string{"model"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "primespark_inference_batch_size", Help: "Inferences of one request.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64},
		}, []string{"model"}),
		run: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "primespark_inference_run_size", Help: "Inferences of one run of the engine, those of all requests that were joined in it.", Buckets: []float64{1, 2, 4, 8, 16, 32, 64},
		}, []string{"model"}),
		joules: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_inference_node_joules_total",
			Help: "Energy that the whole node drew while it worked on a request (decode, infer, post), by its newest power sample and shared among those at work; only where power is measured.",
		}, []string{"model"}),
		seconds: map[string]*prometheus.HistogramVec{},
	}
	all := []prometheus.Collector{m.requests, m.inFlight, m.kept, m.working, m.batch, m.run, m.joules}
	for step, help := range map[string]string{
		"queue":  "Time that requests waited for the device.",
		"decode": "Time from image to tensor.",
		"infer":  "Time on the device.",
		"post":   "Time from tensors to labels and boxes.",
	} {
		m.seconds[step] = prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "primespark_inference_" + step + "_seconds", Help: help, Buckets: buckets,
		}, []string{"model"})
		all = append(all, m.seconds[step])
	}
	for _, c := range all {
		if err := to.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(model string, t infer.Timing) {
	m.seconds["queue"].WithLabelValues(model).Observe(t.Queue.Seconds())
	m.seconds["decode"].WithLabelValues(model).Observe(t.Decode.Seconds())
	m.seconds["infer"].WithLabelValues(model).Observe(t.Infer.Seconds())
	m.seconds["post"].WithLabelValues(model).Observe(t.Post.Seconds())
}

// spent counts the energy of a request on which a node that draws so many watts worked
// beside others. Nothing is counted while the draw is not known.
func (m *metrics) spent(model string, t infer.Timing, watts float64, others int) {
	if watts > 0 {
		m.joules.WithLabelValues(model).Add(watts * (t.Decode + t.Infer + t.Post).Seconds() / float64(1+max(0, others)))
	}
}

func (m *metrics) cached(model string, kept infer.Kept) {
	switch kept {
	case infer.Hit:
		m.kept.WithLabelValues(model, "hit").Inc()
	case infer.Miss:
		m.kept.WithLabelValues(model, "miss").Inc()
	}
}
