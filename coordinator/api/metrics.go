package api

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	streams  prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) metrics {
	m := metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "primespark_http_requests_total",
			Help: "Requests answered, by row of the route table and status.",
		}, []string{"method", "route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "primespark_http_request_seconds",
			Help:    "Time from a request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"method", "route"}), // 1 ms to 16 s
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "primespark_http_streams",
			Help: "Event streams that are open.",
		}),
	}
	reg.MustRegister(m.requests, m.seconds, m.streams)
	return m
}

func (m metrics) done(row Route, status int, took time.Duration) {
	m.requests.WithLabelValues(row.Method, row.Path, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(row.Method, row.Path).Observe(took.Seconds())
}
