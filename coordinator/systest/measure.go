package systest

import (
	"context"
	"fmt"
	"time"

	"primespark/shared/wire"
)

// Measure starts an agent anew, with so much time between its samples.
func (f *Fleet) Measure(agent string, every time.Duration) {
	f.t.Helper()
	f.Stop(agent)
	f.nodes[agent].every = every
	f.Start(agent)
}

// Samples are what a coordinator has of a stream, by sequence, of the newest
// process of its node. A sequence that is missing or there twice is an error.
func (f *Fleet) Samples(coordinator string, q wire.TelemetryQuery) (rows []wire.TelemetryRow, err error) {
	c := f.Via(coordinator)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q.Limit = 10_000
	all, err := c.Telemetry(ctx, q)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if len(rows) > 0 && r.Boot > rows[0].Boot {
			rows = nil
		}
		if want := uint64(len(rows)) + 1; r.Seq != want {
			return rows, fmt.Errorf("%s has %s %d, want %d next", coordinator, r.Stream, r.Seq, want)
		}
		rows = append(rows, r)
	}
	return rows, nil
}
