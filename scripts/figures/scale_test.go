// Package figures_test measures groups of real coordinators against what its users
// might have taken instead, and against what was promised.
package figures_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"primespark/agent/models/blazeface"
	"primespark/shared/rig"
	"primespark/shared/wire"
)

// The benchmarks of this package run real coordinators for minutes. scripts/bench.sh
// names the directory of their programs, and runs each once (-benchtime 1x).
const binVariable = "PRIME_SPARK_BIN"

// coordinators starts three of them, with nothing else.
func coordinators(b *testing.B, profile string) *rig.Rig {
	b.Helper()
	return start(b, rig.Options{Coordinators: 3, Profile: profile})
}

// start starts a fleet, and returns once it is whole.
func start(b *testing.B, o rig.Options) *rig.Rig {
	b.Helper()
	if o.Bin = os.Getenv(binVariable); o.Bin == "" {
		b.Skipf("%s does not name the directory of the programs; make bench does", binVariable)
	}
	r, err := rig.New(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := r.Close(); err != nil {
			b.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	if err := r.Start(ctx, func(string) {}); err != nil {
		b.Fatal(err)
	}
	healthy(b, r)
	return r
}

// healthy waits until all vote, have caught up and have the model, and returns the status.
func healthy(b *testing.B, r *rig.Rig) wire.StatusBody {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	s, err := r.Healthy(ctx, blazeface.Name)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// leader is who leads, and who does not.
func leader(b *testing.B, r *rig.Rig) (first *rig.Node, others []*rig.Node) {
	b.Helper()
	first, err := r.Leader(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return first, slices.DeleteFunc(slices.Clone(r.Coordinators), func(n *rig.Node) bool { return n == first })
}

// report shows times in ms.
func report(b *testing.B, what string, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	for name, i := range map[string]int{"p50": len(all) / 2, "p99": len(all) * 99 / 100, "max": len(all) - 1} {
		b.ReportMetric(float64(all[i].Microseconds())/1000, what+"-"+name+"-ms")
	}
}

// tell says on standard error what goes on: these benchmarks take minutes.
func tell(what string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s "+what+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
}
