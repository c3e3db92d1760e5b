package watch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/watch"
)

func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := watch.New(0)
		go func() {
			for range 5 {
				time.Sleep(time.Second)
				v.Update(func(n int) int { return n + 1 })
			}
		}()
		began := time.Now()
		got, err := v.Until(t.Context(), func(n int) bool { return n >= 3 })
		if err != nil || got != 3 || time.Since(began) != 3*time.Second {
			t.Errorf("Until = %d, %v after %v, want 3 after 3s", got, err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := v.Until(ctx, func(n int) bool { return n > 5 }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the context's", err)
		}
		if v.Get() != 5 {
			t.Errorf("Get = %d, want 5", v.Get())
		}
	})
}
