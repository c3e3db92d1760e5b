// Package rigtest runs fleets of the daemons as they are in this tree.
package rigtest

import (
	"context"
	"os/exec"
	"testing"

	"primespark/shared/rig"
)

// Start builds the daemons and runs a fleet of them, which ends with the test. Bin
// and Dir of the options are its own.
func Start(ctx context.Context, t testing.TB, o rig.Options) *rig.Rig {
	t.Helper()
	o.Bin, o.Dir = t.TempDir(), t.TempDir()
	build := exec.CommandContext(ctx, "go", "build", "-o", o.Bin+"/", "primespark/agent/cmd/prime-spark-agent", "primespark/coordinator/cmd/prime-spark-coordinator")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the daemons: %v\n%s", err, out)
	}
	r, err := rig.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.Start(ctx, func(string) {}); err != nil {
		t.Fatal(err)
	}
	return r
}
