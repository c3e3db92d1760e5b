package agent

import (
	"log/slog"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/agent/config"
	"primespark/agent/infer"
	"primespark/agent/models"
	"primespark/agent/plan"
	"primespark/agent/supply"
	"primespark/shared/identity"
	"primespark/shared/wire"
)

// A stock is the packages that the fleet gave this node; nil on one that belongs to
// no cluster, or whose disk takes none.
type stock struct {
	*supply.Store
	memory int64
	log    *slog.Logger
}

func openStock(cfg config.Config, id *identity.Identity, log *slog.Logger) *stock {
	if id == nil || cfg.SafeMode {
		return nil
	}
	store, err := supply.OpenStore(filepath.Join(cfg.StateDir, "packages"), log)
	if err != nil {
		log.Error("models of the fleet cannot be kept, those of this node are served", "err", err, "remedy", "see that the disk under state_dir is writable and has room, then start the agent anew")
		return nil
	}
	return &stock{store, int64(cfg.Models.Memory), log}
}

// models is the stock as the registry takes it.
func (s *stock) models() models.Stock {
	if s == nil {
		return nil // and no interface that holds a nil
	}
	return s.Store
}

// supply makes the part that keeps the stock as the plan has it; nil without a stock.
func (s *stock) supply(follower *plan.Follower, registry *models.Registry, backends []infer.Backend, metrics prometheus.Registerer) (*supply.Supply, error) {
	if s == nil {
		return nil, nil
	}
	names := make([]string, len(backends))
	for i, b := range backends {
		names[i] = b.Engine()
	}
	return supply.New(supply.Config{
		Store: s.Store, Fetch: follower.Object, Models: registry, Engines: names, Memory: s.memory, Log: s.log, Metrics: metrics,
		Wanted: func() ([]wire.PlanModel, bool, <-chan struct{}) {
			m, changed := follower.Models()
			return m.List, m.Known, changed
		},
	})
}
