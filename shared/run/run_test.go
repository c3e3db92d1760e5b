package run_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/run"
)

func TestRestartBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var starts []time.Duration
		begin := time.Now()
		flaky := run.Func("flaky", func(context.Context) error {
			starts = append(starts, time.Since(begin))
			return errors.New("bus error")
		})
		if err := run.Restart(flaky, slog.New(slog.DiscardHandler)).Run(ctx); err != nil {
			t.Fatalf("Run = %v, want nil once ctx ends", err)
		}
		if n := len(starts); n < 12 || n > 18 {
			t.Errorf("%d starts in 10 min, want 12 to 18: %v", n, starts)
		}
	})
}

func TestAllReportsTheFirstFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		stopped := false
		err := run.All(t.Context(),
			run.Func("steady", func(ctx context.Context) error { <-ctx.Done(); stopped = true; return nil }),
			run.Func("doomed", func(context.Context) error { time.Sleep(time.Hour); return boom }),
		)
		if !errors.Is(err, boom) || err.Error() != "doomed: boom" {
			t.Errorf("All = %v, want doomed: boom", err)
		}
		if !stopped {
			t.Error("the steady part still ran when All returned")
		}
	})
}

func TestAllTakesEarlyReturnForAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		err := run.All(t.Context(), run.Func("quitter", func(context.Context) error { return nil }))
		if !errors.Is(err, run.ErrEarly) {
			t.Errorf("All = %v, want %v", err, run.ErrEarly)
		}
	})
}

func TestAllStopsInReverseOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var order []string
		part := func(name string) run.Part {
			return run.Func(name, func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // time for a wrong order to show
				order = append(order, name)
				return nil
			})
		}
		if err := run.All(ctx, part("store"), part("api")); err != nil {
			t.Fatal(err)
		}
		if want := []string{"api", "store"}; !slices.Equal(order, want) {
			t.Errorf("stopped in order %v, want %v", order, want)
		}
	})
}
