package coordinator

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/config"
	"primespark/coordinator/fsm"
	"primespark/shared/conf"
	"primespark/shared/health"
	"primespark/shared/watch"
)

func TestBackupTrouble(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, test := range map[string]struct {
		backup fsm.Backup
		up     time.Duration
		want   string
	}{
		"all well":              {fsm.Backup{Verified: ago(time.Hour)}, 24 * time.Hour, ""},
		"the newest one failed": {fsm.Backup{Verified: ago(time.Hour), Error: "/nas: no space left"}, 24 * time.Hour, "/nas: no space left."},
		"none for long":         {fsm.Backup{Verified: ago(4 * time.Hour)}, 24 * time.Hour, "No backup has been made for 4h0m0s, and one is due each 1h0m0s"},
		"never one":             {fsm.Backup{}, 4 * time.Hour, "for 4h0m0s"},
		"just started":          {fsm.Backup{Verified: ago(100 * time.Hour)}, time.Minute, ""},
	} {
		got := backupTrouble(test.backup, time.Hour, ago(test.up), now)
		if !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestBackupHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		states, conditions := watch.New(fsm.State{}), health.New(nil)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- backupHealth(config.Backup{Dir: "/nas", Every: conf.Duration(time.Hour)}, states.Load, conditions).Run(ctx)
		}()
		for _, step := range []struct {
			backup fsm.Backup
			wait   time.Duration
			want   int
		}{
			{fsm.Backup{}, time.Minute, 0},
			{fsm.Backup{Error: "full"}, time.Second, 1},
			{fsm.Backup{Verified: time.Now().Add(time.Minute)}, time.Second, 0},
			{fsm.Backup{Verified: time.Now().Add(time.Minute)}, 4 * time.Hour, 1},
		} {
			states.Store(fsm.State{Backup: step.backup})
			time.Sleep(step.wait)
			if all := conditions.All(); len(all) != step.want || len(all.Reasons()) > 0 {
				t.Errorf("with %+v for %v: %+v, want %d warnings", step.backup, step.wait, all, step.want)
			}
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
