package consensus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestSharedRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sharing
		var rounds uint64
		question := func() (uint64, error) {
			rounds++
			now := rounds
			time.Sleep(time.Second)
			if now == 3 {
				return 0, errMoved
			}
			return now, nil
		}
		ask := func(after time.Duration, want uint64, wantErr error) func() {
			return func() {
				time.Sleep(after)
				if got, err := s.ask(t.Context(), question); got != want || !errors.Is(err, wantErr) {
					t.Errorf("asked after %v: %d, %v, want that of round %d, %v", after, got, err, want, wantErr)
				}
			}
		}
		var all sync.WaitGroup
		all.Go(ask(0, 1, nil))
		for range 100 { // none of them may have the first round's answer
			all.Go(ask(time.Millisecond, 2, nil))
			all.Go(ask(999*time.Millisecond, 2, nil))
		}
		all.Go(ask(1500*time.Millisecond, 0, errMoved)) // its failure is nobody else's
		all.Go(ask(2500*time.Millisecond, 4, nil))
		all.Go(func() {
			time.Sleep(time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := s.ask(ctx, question); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who has no time left: %v, want the context's error", err)
			}
		})
		all.Wait()
		synctest.Wait()
		if rounds != 4 || s.under || s.next != nil {
			t.Errorf("%d rounds, %+v, want 4 and nothing under way", rounds, &s)
		}
	})
}
