package systest

import (
	"bytes"
	"os"
	"strings"

	"primespark/coordinator"
	"primespark/shared/fleet"
)

// Lose ends a node for good: its disk is gone too, and nobody asks it any more.
func (f *Fleet) Lose(name string) {
	f.t.Helper()
	f.Kill(name)
	p := f.nodes[name]
	p.done = nil
	if err := os.RemoveAll(p.dir); err != nil {
		f.t.Fatal(err)
	}
}

// Restore makes a coordinator that was lost the first one of the cluster in a
// backup, and starts it.
func (f *Fleet) Restore(name string, backup []byte, key string) coordinator.Saved {
	f.t.Helper()
	s, err := coordinator.Restore(f.nodes[name].coordinator(), bytes.NewReader(backup), strings.NewReader(key))
	if err != nil {
		f.t.Fatal(err)
	}
	f.Revive(name)
	return s
}

// JoinCoordinator lets a new coordinator join, and starts it.
func (f *Fleet) JoinCoordinator(name string) {
	f.t.Helper()
	f.join(name, fleet.Coordinator)
}
