package overlay

import (
	"context"
	"log/slog"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/run"
)

// A Leaver takes a node whose mesh was switched off out of it: off the host, out of
// the map, and its keys and its map off the disk. Nodes that were never in it are not
// spoken of. It is a part.
type Leaver struct {
	Dir    string // where the map was kept
	KeyDir string // where the keys were
	// Host takes the interfaces off this host; Group takes the node out of the map.
	Host  func(context.Context) error
	Group func(context.Context) error
	Log   *slog.Logger
}

// String names the part in logs.
func (Leaver) String() string { return "mesh leaver" }

// Run leaves the mesh, however often it has to ask, and then waits for ctx to end.
func (l Leaver) Run(ctx context.Context) error {
	if mesh.Kept(l.Dir, l.KeyDir) && l.until(ctx, "the tunnels of the mesh stay on this host", l.Host) &&
		l.until(ctx, "this node is still in the map of the mesh", l.Group) &&
		l.until(ctx, "the keys of the mesh are still on the disk", func(context.Context) error { return mesh.Forget(l.Dir, l.KeyDir) }) {
		l.Log.Info("this node takes no part in the mesh any more, as mesh.enabled is false")
	}
	<-ctx.Done()
	return nil
}

// until does one step again and again, and reports whether it was done in the end.
func (l Leaver) until(ctx context.Context, otherwise string, step func(context.Context) error) bool {
	told := false
	for wait := leastWait; ctx.Err() == nil; wait = min(2*wait, mostWait) {
		limited, cancel := context.WithTimeout(ctx, pollTime)
		err := step(limited)
		cancel()
		if err == nil {
			return true
		}
		if !told && ctx.Err() == nil {
			l.Log.Warn(otherwise+", trying again", "err", err, "wait", wait.Round(time.Millisecond))
			told = true
		}
		run.Sleep(ctx, run.Jitter(wait))
	}
	return false
}
