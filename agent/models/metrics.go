package models

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// register makes the registry's figures known.
func (r *Registry) register() error {
	gauge := func(name, help string, value func() float64) error {
		return r.cfg.Metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	return errors.Join(
		gauge("primespark_models_ready", "Models that can answer.", func() float64 { return float64(len(r.Serving())) }),
		gauge("primespark_models_memory_bytes", "Memory that the loaded models count for.", func() float64 { return float64(r.memory()) }),
		gauge("primespark_inference_queue", "Requests that wait for an engine or the image decoder.", func() float64 { return float64(r.Queue()) }),
	)
}

// memory is what the live models count for together, in bytes.
func (r *Registry) memory() (sum int64) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, e := range r.models {
		if e.live != nil {
			sum += e.live.memory + e.live.standby.memory()
		}
	}
	return sum
}
