package coordinator

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/config"
	"primespark/coordinator/history"
	"primespark/coordinator/ingest"
)

// openHistory opens the store of what the nodes measured.
func openHistory(cfg config.Config, log *slog.Logger, metrics prometheus.Registerer) (*history.Store, error) {
	dir := filepath.Join(cfg.StateDir, "history")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the history: %w", err)
	}
	return history.Open(history.Config{
		Dir: dir, MaxSize: int64(cfg.History.MaxSize), Raw: cfg.History.Raw.D(), Minutes: cfg.History.Minutes.D(), Log: log, Metrics: metrics,
	})
}

// A chronicle is the history as the API uses it: what comes in goes through the
// ingest, and questions go to the store.
type chronicle struct {
	*ingest.Ingest
	*history.Store
}
