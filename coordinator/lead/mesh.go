package lead

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/problem"
	"primespark/shared/run"
)

// meshEvery is the time between two looks at keys and clients whose end may have come.
const meshEvery = 10 * time.Second

// Mesh is the loop that drops from the mesh what has ended, and has it use the IPv4
// range that this coordinator is configured with; nil: it is for others to say.
func Mesh(g Group, wanted *netip.Prefix, log *slog.Logger) run.Part {
	return run.Func("mesh", func(ctx context.Context) error {
		for run.Sleep(ctx, run.Jitter(meshEvery)) {
			command := meshDue(g, wanted)
			if command == nil {
				continue
			}
			if _, err := g.Propose(ctx, Actor, command); err != nil && ctx.Err() == nil {
				if !problem.Is(err, problem.NoLeader) && !problem.Is(err, problem.NoQuorum) {
					return err
				}
				log.Debug("the mesh was not looked after this time", "err", err) // soon again, or by the next leader
			}
		}
		return nil
	})
}

// meshDue is what has to be decided about the mesh now; nil for nothing.
func meshDue(g Group, wanted *netip.Prefix) fsm.Command {
	state, _ := g.State()
	switch {
	case state.Mesh.Version == 0: // nobody takes part
	case state.MeshStale(time.Now()):
		return fsm.MeshPrune{}
	case wanted != nil && state.Mesh.Range != *wanted:
		return fsm.MeshRange{Range: *wanted}
	}
	return nil
}
