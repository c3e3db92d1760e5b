package agent

import (
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/cache"
	"primespark/agent/config"
	"primespark/agent/models"
	"primespark/shared/run"
)

// results are those that were computed before; nil if none are kept.
type results struct{ *cache.Cache }

func openResults(cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*results, error) {
	c := cfg.Cache
	if c.Memory == 0 {
		return nil, nil
	}
	made, err := cache.New(cache.Config{
		Path: filepath.Join(cfg.StateDir, "cache", "results.db"), Memory: int64(c.Memory), Disk: int64(c.Disk), Daily: int64(c.Daily), Age: c.MaxAge.D(),
		Log: log, Metrics: metrics,
	})
	return &results{made}, err
}

// models is the cache as the registry takes it.
func (r *results) models() models.Results {
	if r == nil {
		return nil // and no interface that holds a nil
	}
	return r.Cache
}

func (r *results) parts(log *slog.Logger) []run.Part {
	if r == nil {
		return nil
	}
	return []run.Part{run.Restart(r.Cache, part(log, "result cache"))}
}
