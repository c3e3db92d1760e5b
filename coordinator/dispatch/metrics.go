package dispatch

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/problem"
)

type metrics struct {
	requests *prometheus.CounterVec
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) metrics {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_dispatch_requests_total",
			Help: "Requests passed on to agents, by outcome: ok, or the code of the problem.",
		}, []string{"code"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_dispatch_failed_attempts_total",
			Help: "Tries at an agent that another agent had to make good, by the code of the problem.",
		}, []string{"code"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "primespark_dispatch_seconds",
			Help:    "Time until an agent's answer, all tries together.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}), // 1 ms to 16 s
	}
	reg.MustRegister(m.requests, m.attempts, m.seconds)
	return m
}

func (m metrics) done(a *Answer, err error, took time.Duration) {
	code := "ok"
	if err != nil {
		code = string(problem.Of(err).Code)
	} else if a.Status >= 400 {
		code = "refused" // by the agent, for a fault of the client's
	}
	m.requests.WithLabelValues(code).Inc()
	m.seconds.Observe(took.Seconds())
}
