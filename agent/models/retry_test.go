package models_test

import (
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer/infertest"
	"primespark/shared/model"
)

// TestSlowAtBoot: a model that has no time to prove itself while the host boots is
// tried again, and one that is wrong is not.
func TestSlowAtBoot(t *testing.T) {
	for name, test := range map[string]struct {
		at    func(*infertest.Fake) // boot
		ready bool                  // some time later
	}{
		"slow":  {func(f *infertest.Fake) { f.Cost = 20 * time.Second }, true},
		"wrong": {func(f *infertest.Fake) { f.Answer = nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fake := engine("")
				test.at(fake)
				r := served(t, replaced("memory: 10MiB", "memory: 10MiB, deadline: 3s"), fake)
				if index := r.Index(); len(index) != 1 || index[0].State != model.Unavailable {
					t.Fatalf("at the boot: %+v", index)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				*fake = *engine("")
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := r.Ready("pets", ""); got != test.ready {
					t.Errorf("ready: %v, want %v; %+v", got, test.ready, r.Index())
				}
			})
		})
	}
}
