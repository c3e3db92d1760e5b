package infer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/shared/problem"
)

// busyFor is work that takes that long.
func busyFor(d time.Duration) func() error {
	return func() error { time.Sleep(d); return nil }
}

func TestQueueServesByPriorityThenArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 8)
		go q.Do(t.Context(), 0, busyFor(time.Second)) //nolint:errcheck // it only keeps the device busy
		synctest.Wait()

		var order []string // guarded by the queue: one slot
		var wg sync.WaitGroup
		for i, priority := range []int{7, 3, 0, 3, 0, 7} {
			wg.Go(func() {
				waited, err := q.Do(t.Context(), priority, func() error {
					order = append(order, fmt.Sprintf("%d#%d", priority, i))
					return nil
				})
				if err != nil || waited != time.Second {
					t.Errorf("Do waited %v and gave %v, want 1s and nil", waited, err)
				}
			})
			synctest.Wait()
		}
		if running, waiting := q.Load(); running != 1 || waiting != 6 {
			t.Errorf("Load = %d, %d, want 1, 6", running, waiting)
		}
		wg.Wait()
		if want := []string{"0#2", "0#4", "3#1", "3#3", "7#0", "7#5"}; !slices.Equal(order, want) {
			t.Errorf("served in order %v, want %v", order, want)
		}
	})
}

func TestQueueRefusesWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 2)
		if _, err := q.Do(t.Context(), 0, busyFor(4*time.Second)); err != nil { // the mean is now 4 s
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := q.Do(t.Context(), 0, busyFor(4*time.Second)); err != nil {
					t.Errorf("Do = %v, want nil", err)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		_, err := q.Do(t.Context(), 0, func() error { t.Error("refused work was done"); return nil })
		p := problem.Of(err)
		if p.Code != problem.Busy || !errors.Is(err, infer.ErrBusy) || time.Since(start) != 0 {
			t.Errorf("Do on a full queue = %v after %v, want Busy at once", err, time.Since(start))
		}
		if p.RetryAfter != 12*time.Second { // two wait, one runs, 4 s each
			t.Errorf("RetryAfter = %v, want 12s", p.RetryAfter)
		}
		if !errors.Is(q.Refusal(0), infer.ErrBusy) {
			t.Errorf("Refusal = %v, want ErrBusy", q.Refusal(0))
		}
		wg.Wait()
		if err := q.Refusal(0); err != nil {
			t.Errorf("Refusal of an empty queue = %v, want nil", err)
		}
	})
}

// TestQueueMakesWay fills the queue with what is not urgent: who is more urgent takes the
// place of the last of the least urgent, and an equal takes nobody's.
func TestQueueMakesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 3)
		var mu sync.Mutex
		var told []string
		do := func(name string, priority int) {
			go func() {
				_, err := q.Do(t.Context(), priority, busyFor(time.Second))
				if p := problem.Of(err); err != nil && (p.Code != problem.Busy || p.RetryAfter == 0) {
					t.Errorf("%s was told %v, want Busy and when to come back", name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				told = append(told, fmt.Sprint(name, " ", err == nil))
			}()
			synctest.Wait()
		}
		do("runs", 7)
		do("a", 3)
		do("b", 6)
		do("c", 6)
		for priority := range infer.MaxPriority + 1 {
			if err := q.Refusal(priority); (err == nil) != (priority < 6) {
				t.Errorf("Refusal(%d) = %v with 3, 6 and 6 waiting", priority, err)
			}
		}
		do("equal", 6)
		do("urgent", 3)
		do("first", 0)
		do("late", 3)
		if _, waiting := q.Load(); waiting != 3 {
			t.Errorf("%d wait, want no more than 3", waiting)
		}
		time.Sleep(10 * time.Second)
		want := []string{"equal false", "c false", "b false", "late false", "runs true", "first true", "a true", "urgent true"}
		if mu.Lock(); !slices.Equal(told, want) {
			t.Errorf("ended in the order %q, want %q", told, want)
		}
	})
}

func TestQueueDropsWhatIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 8)
		go q.Do(t.Context(), 0, busyFor(10*time.Second)) //nolint:errcheck // it only keeps the device busy
		synctest.Wait()

		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		_, err := q.Do(ctx, 0, func() error { t.Error("late work was done"); return nil })
		if !problem.Is(err, problem.Deadline) || time.Since(start) != 3*time.Second {
			t.Errorf("Do = %v after %v, want Deadline after 3s", err, time.Since(start))
		}

		ctx, cancel = context.WithTimeout(t.Context(), 7*time.Second) // ends as its turn comes
		defer cancel()
		if _, err = q.Do(ctx, 0, func() error { t.Error("late work was done"); return nil }); !problem.Is(err, problem.Deadline) {
			t.Errorf("Do = %v, want Deadline", err)
		}
		synctest.Wait()
		if running, waiting := q.Load(); running != 0 || waiting != 0 {
			t.Errorf("Load = %d, %d, want nobody left", running, waiting)
		}
		if waited, err := q.Do(t.Context(), 0, busyFor(0)); waited != 0 || err != nil {
			t.Errorf("Do afterwards waited %v and gave %v", waited, err)
		}
	})
}

func TestQueueForgetsTheCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 1)
		go q.Do(t.Context(), 0, busyFor(time.Minute)) //nolint:errcheck // it only keeps the device busy
		synctest.Wait()
		gone := errors.New("client went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if _, err := q.Do(ctx, 0, busyFor(0)); !errors.Is(err, gone) {
			t.Errorf("Do = %v, want the cause", err)
		}
		if err := q.Refusal(0); err != nil {
			t.Errorf("the place of one who left is still taken: %v", err)
		}
		time.Sleep(time.Minute)
	})
}

func TestQueueClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 8)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := q.Do(t.Context(), 0, busyFor(5*time.Second)); err != nil {
				t.Errorf("what ran during Close ended with %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := q.Do(t.Context(), 0, busyFor(0)); !errors.Is(err, infer.ErrClosed) {
				t.Errorf("what waited during Close got %v, want ErrClosed", err)
			}
		})
		synctest.Wait()
		start := time.Now()
		if err := errors.Join(q.Close(), q.Close()); err != nil || time.Since(start) != 5*time.Second {
			t.Errorf("Close = %v after %v, want nil after 5s", err, time.Since(start))
		}
		if _, err := q.Do(t.Context(), 0, busyFor(0)); !errors.Is(err, infer.ErrClosed) {
			t.Errorf("Do after Close = %v, want ErrClosed", err)
		}
		wg.Wait()
	})
}

func TestQueueRunsAsManyAsItHasSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("decoder", 2, 8)
		start := time.Now()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := q.Do(t.Context(), 0, busyFor(time.Second)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("four in two slots took %v, want 2s", took)
		}
		if q.Mean() != time.Second {
			t.Errorf("Mean = %v, want 1s", q.Mean())
		}
	})
}

func TestQueueSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 1, 1)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, err := q.Do(t.Context(), 0, func() error { panic("engine bug") })
			t.Errorf("Do returned %v", err)
		}()
		if waited, err := q.Do(t.Context(), 0, busyFor(0)); waited != 0 || err != nil {
			t.Errorf("Do afterwards waited %v and gave %v", waited, err)
		}
	})
}

// TestQueueAlone runs work that takes all slots between work that takes one: never beside
// it, and in its turn.
func TestQueueAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 2, 8)
		begin := time.Now()
		var mu sync.Mutex
		var order []string
		var wg sync.WaitGroup
		add := func(name string, do func(context.Context, int, func() error) (time.Duration, error)) {
			wg.Go(func() {
				_, err := do(t.Context(), 0, func() error {
					mu.Lock()
					order = append(order, fmt.Sprintf("%s@%v", name, time.Since(begin)))
					mu.Unlock()
					time.Sleep(time.Second)
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		add("small", q.Do)
		add("large", q.DoAlone) // a slot is free, but not all
		add("later", q.Do)      // and this one does not overtake
		add("other", q.Do)
		add("large", q.DoAlone)
		if running, waiting := q.Load(); running != 1 || waiting != 4 {
			t.Errorf("Load = %d, %d, want 1, 4", running, waiting)
		}
		wg.Wait()
		slices.Sort(order[2:4]) // these two run side by side
		if want := []string{"small@0s", "large@1s", "later@2s", "other@2s", "large@3s"}; !slices.Equal(order, want) {
			t.Errorf("served %v, want %v", order, want)
		}
	})
}

// TestQueueAloneGivesUp lets on those who wait behind work that wanted all slots and left.
func TestQueueAloneGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := infer.NewQueue("cpu", 2, 8)
		go q.Do(t.Context(), 0, busyFor(time.Minute)) //nolint:errcheck // it only keeps a slot
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go q.DoAlone(ctx, 0, func() error { t.Error("it ran"); return nil }) //nolint:errcheck // it has no time
		synctest.Wait()
		if waited, err := q.Do(t.Context(), 0, func() error { return nil }); err != nil || waited != time.Second {
			t.Errorf("Do waited %v and gave %v, want 1s and nil", waited, err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}
