package models_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/model"
	"primespark/shared/tensor"
)

// TestSlowAtBoot: a model that has no time to prove itself while the host boots is
// tried again, and one that fails is not.
func TestSlowAtBoot(t *testing.T) {
	for name, test := range map[string]struct {
		boot  error // of the engine, while the host boots
		ready bool  // some time later
	}{
		"slow":  {context.DeadlineExceeded, true},
		"wrong": {errors.New("no such operator"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var booted atomic.Bool
				fake := engine("")
				works := fake.Answer
				fake.Answer = func(in, out []tensor.Tensor) error {
					if !booted.Load() {
						return test.boot
					}
					return works(in, out)
				}
				r := served(t, pets(), fake)
				if index := r.Index(); len(index) != 1 || index[0].State != model.Unavailable {
					t.Fatalf("at the boot: %+v", index)
				}
				booted.Store(true)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := r.Ready("pets", ""); got != test.ready {
					t.Errorf("ready: %v, want %v; %+v", got, test.ready, r.Index())
				}
			})
		})
	}
}
