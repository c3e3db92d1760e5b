package overlay

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/mesh"
)

// TestLeaver switches the mesh of a node off: the host first, then the group, which
// does not answer for a while, then the disk.
func TestLeaver(t *testing.T) {
	for name, was := range map[string]bool{"it was in it": true, "it never was": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if was {
				ring, err := mesh.NewRing()
				if err == nil {
					err = errors.Join(ring.Save(dir), os.WriteFile(filepath.Join(dir, "mesh.json"), []byte("{}"), 0o600))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) {
				var done []string
				var log journal
				var back atomic.Bool
				l := Leaver{
					Dir: dir, KeyDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)),
					Host: func(context.Context) error { done = append(done, "host"); return nil },
					Group: func(context.Context) error {
						if !back.Load() {
							return errors.New("nobody answers")
						}
						done = append(done, "group")
						return nil
					},
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- l.Run(ctx) }()
				time.Sleep(time.Minute)
				synctest.Wait()
				if mesh.Kept(dir, dir) != was {
					t.Error("the keys were forgotten before the group knew")
				}
				back.Store(true)
				time.Sleep(time.Minute)
				cancel()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if got := strings.Join(done, " "); was && got != "host group" || !was && got != "" {
					t.Errorf("done were %q", got)
				}
				if mesh.Kept(dir, dir) {
					t.Error("keys or map are still there")
				}
				if n := strings.Count(log.String(), "nobody answers"); was && n != 1 || !was && n != 0 {
					t.Errorf("told %d times:\n%s", n, log.String())
				}
			})
		})
	}
}
