package coordinator

import (
	"context"
	"log/slog"
	"time"

	"primespark/coordinator/consensus"
	"primespark/coordinator/fsm"
	"primespark/shared/health"
	"primespark/shared/run"
)

// lookEvery is how often a coordinator without a leader finds out whether it was
// removed.
const lookEvery = time.Second

// farewell says so when this coordinator is a member no more. The entry by which
// it is revoked may never get here: the others refuse its certificate from that
// entry on. So one that has no leader asks them.
func farewell(node *consensus.Node, name string, conditions *health.Registry, log *slog.Logger) run.Part {
	return run.Func("farewell", func(ctx context.Context) error {
		removed := false
		for run.Sleep(ctx, run.Jitter(lookEvery)) {
			state, _ := node.State()
			quorum := standing(node.Status()).Quorum
			now := state.Nodes[name].State == fsm.Revoked || !quorum && (removed || node.Shunned(ctx))
			switch {
			case now && !removed:
				const remedy = "Stop it. To take it in again, remove its state_dir and join it with a new code."
				conditions.Set(health.Removed, health.Unready, "The other coordinators count this one no more: it was removed from the group, or revoked.", remedy)
				log.Warn("removed from the group, taking part in nothing any more", "remedy", remedy)
			case !now && removed:
				conditions.Clear(health.Removed)
				log.Info("in the group again")
			}
			removed = now
		}
		return nil
	})
}
