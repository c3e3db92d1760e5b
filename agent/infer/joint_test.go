package infer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/infer"
	"primespark/shared/problem"
)

// A team is a queue and a joint whose runs take a second each, and who was in them.
type team struct {
	*infer.Queue
	infer.Joint
	mu   sync.Mutex
	runs []string // "1.5s a b": when each began, and who was in it
	wg   sync.WaitGroup
}

func newTeam(most, bound int, delay time.Duration) *team {
	t := &team{Queue: infer.NewQueue("cpu", 1, bound)}
	begin := time.Now()
	t.Joint = infer.Joint{
		Most: most, Delay: delay,
		Take:   func(n int) int { return n },
		Enough: func(n int) bool { return n >= most },
		Run: func(ctx context.Context, all []*infer.Member) error {
			var text strings.Builder
			text.WriteString(time.Since(begin).String())
			for _, m := range all {
				if !m.Stay(func() { text.WriteString(" " + m.Item.(string)) }) {
					text.WriteString(" -")
				}
			}
			t.mu.Lock()
			t.runs = append(t.runs, text.String())
			t.mu.Unlock()
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	return t
}

// ask adds a request, and checks what becomes of it and when.
func (tm *team) ask(t *testing.T, ctx context.Context, name string, priority, rows int, ends time.Duration, want error) {
	t.Helper()
	start := time.Now()
	tm.wg.Go(func() {
		_, err := tm.DoJoint(ctx, priority, &tm.Joint, rows, name)
		if !errors.Is(err, want) || time.Since(start) != ends {
			t.Errorf("%s ended with %v after %v, want %v after %v", name, err, time.Since(start), want, ends)
		}
	})
	synctest.Wait()
}

func (tm *team) other(t *testing.T, name string, priority int) {
	tm.wg.Go(func() {
		if _, err := tm.Do(t.Context(), priority, func() error { tm.runs = append(tm.runs, name); return nil }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	synctest.Wait()
}

func (tm *team) check(t *testing.T, want ...string) {
	t.Helper()
	tm.wg.Wait()
	if err := tm.Close(); err != nil { // after the last run
		t.Error(err)
	}
	if !slices.Equal(tm.runs, want) {
		t.Errorf("runs were %q, want %q", tm.runs, want)
	}
}

// TestJointMean counts a run of several for what it takes for each.
func TestJointMean(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 16, 0)
		tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
		for _, name := range []string{"b", "c", "d", "e"} {
			tm.ask(t, t.Context(), name, 3, 1, 2*time.Second, nil)
		}
		tm.check(t, "0s a", "1s b c d e")
		if want := 850 * time.Millisecond; tm.Mean() != want {
			t.Errorf("the mean is %v, want %v", tm.Mean(), want)
		}
	})
}

// TestJointOrder shows who is taken along, by whom and when.
func TestJointOrder(t *testing.T) {
	for name, test := range map[string]struct {
		most  int
		add   func(t *testing.T, tm *team)
		delay time.Duration
		want  []string
	}{
		"no more than fit": {4, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
			for _, n := range []string{"b", "c", "d", "e"} {
				tm.ask(t, t.Context(), n, 3, 1, 2*time.Second, nil)
			}
			tm.ask(t, t.Context(), "f", 3, 1, 3*time.Second, nil)
		}, 0, []string{"0s a", "1s b c d e", "2s f"}},
		"urgent first": {2, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
			tm.ask(t, t.Context(), "b", 7, 1, 3*time.Second, nil)
			tm.ask(t, t.Context(), "c", 3, 1, 2*time.Second, nil)
			tm.ask(t, t.Context(), "d", 0, 1, 2*time.Second, nil)
		}, 0, []string{"0s a", "1s d c", "2s b"}},
		"several inferences in a request": {4, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 3, time.Second, nil)
			tm.ask(t, t.Context(), "b", 3, 2, 2*time.Second, nil)
			tm.ask(t, t.Context(), "c", 3, 3, 3*time.Second, nil)
			tm.ask(t, t.Context(), "d", 3, 1, 2*time.Second, nil) // there is room for it beside b
		}, 0, []string{"0s a", "1s b d", "2s c"}},
		"another model of the same urgency": {4, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
			tm.ask(t, t.Context(), "b", 3, 1, 2*time.Second, nil)
			tm.other(t, "other", 3)
			tm.ask(t, t.Context(), "c", 3, 1, 2*time.Second, nil)
			tm.ask(t, t.Context(), "d", 4, 1, 3*time.Second, nil) // less urgent than the other
		}, 0, []string{"0s a", "1s b c", "other", "2s d"}},
		"wait for company": {4, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, 1100*time.Millisecond, nil)
			time.Sleep(60 * time.Millisecond)
			tm.ask(t, t.Context(), "b", 3, 1, 1040*time.Millisecond, nil)
		}, 100 * time.Millisecond, []string{"100ms a b"}},
		"enough company": {2, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, 1060*time.Millisecond, nil)
			time.Sleep(60 * time.Millisecond)
			tm.ask(t, t.Context(), "b", 3, 1, time.Second, nil)
		}, 100 * time.Millisecond, []string{"60ms a b"}},
		"no waiting while others wait": {4, func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "a", 3, 1, 1060*time.Millisecond, nil)
			time.Sleep(60 * time.Millisecond)
			tm.other(t, "other", 7)
		}, 100 * time.Millisecond, []string{"60ms a", "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tm := newTeam(test.most, 16, test.delay)
				test.add(t, tm)
				tm.check(t, test.want...)
			})
		})
	}
}

// TestJointLets each go when its time is over, whoever began the run, and ends the run
// when nobody is left.
func TestJointLetsEachGo(t *testing.T) {
	within := func(t *testing.T, d time.Duration) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		t.Cleanup(cancel)
		return ctx
	}
	for name, test := range map[string]struct {
		add  func(t *testing.T, tm *team)
		want []string
		ends time.Duration // when the engine is free again
	}{
		"the first": {func(t *testing.T, tm *team) {
			tm.ask(t, within(t, 1500*time.Millisecond), "b", 3, 1, 1500*time.Millisecond, context.DeadlineExceeded)
			tm.ask(t, t.Context(), "c", 3, 1, 2*time.Second, nil)
		}, []string{"0s a", "1s b c"}, 2 * time.Second},
		"one taken along": {func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "b", 3, 1, 2*time.Second, nil)
			tm.ask(t, within(t, 1500*time.Millisecond), "c", 3, 1, 1500*time.Millisecond, context.DeadlineExceeded)
		}, []string{"0s a", "1s b c"}, 2 * time.Second},
		"all": {func(t *testing.T, tm *team) {
			tm.ask(t, within(t, 1200*time.Millisecond), "b", 3, 1, 1200*time.Millisecond, context.DeadlineExceeded)
			tm.ask(t, within(t, 1500*time.Millisecond), "c", 3, 1, 1500*time.Millisecond, context.DeadlineExceeded)
		}, []string{"0s a", "1s b c"}, 1500 * time.Millisecond},
		"one whose time was over": {func(t *testing.T, tm *team) {
			tm.ask(t, t.Context(), "b", 3, 1, 2*time.Second, nil)
			tm.ask(t, within(t, time.Second), "c", 3, 1, time.Second, context.DeadlineExceeded)
		}, []string{"0s a", "1s b"}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tm := newTeam(4, 16, 0)
				begin := time.Now()
				tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
				test.add(t, tm)
				tm.check(t, test.want...)
				if took := time.Since(begin); took != test.ends {
					t.Errorf("the engine was free after %v, want %v", took, test.ends)
				}
			})
		})
	}
}

// TestJointHurries does not spend the time of a request that has little on waiting.
func TestJointHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 16, time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
		defer cancel()
		tm.ask(t, ctx, "a", 3, 1, 400*time.Millisecond, context.DeadlineExceeded)
		tm.check(t, "200ms a")
	})
}

// TestJointIsBounded refuses the same as others who find the queue full.
func TestJointIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 2, 0)
		tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
		tm.ask(t, t.Context(), "b", 3, 1, 2*time.Second, nil)
		tm.ask(t, t.Context(), "c", 3, 1, 2*time.Second, nil)
		tm.ask(t, t.Context(), "d", 3, 1, 0, infer.ErrBusy)
		tm.check(t, "0s a", "1s b c")
	})
}

// TestJointTellsAll of a run that failed, or panicked, and goes on with the next.
func TestJointTellsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 16, 0)
		good, broken := tm.Run, errors.New("engine fault")
		faults := []func() error{func() error { return broken }, func() error { panic("engine bug") }}
		tm.Run = func(ctx context.Context, all []*infer.Member) error {
			if err := good(ctx, all); err != nil || len(all) == 1 {
				return err
			}
			f := faults[0]
			faults = faults[1:]
			return f()
		}
		tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
		for i, want := range []error{broken, infer.ErrBroken} {
			for _, name := range []string{"b", "c", "d", "e"} {
				tm.ask(t, t.Context(), fmt.Sprint(name, i), 3, 1, time.Duration(2+i)*time.Second, want)
			}
		}
		tm.ask(t, t.Context(), "f", 3, 1, 4*time.Second, nil)
		tm.check(t, "0s a", "1s b0 c0 d0 e0", "2s b1 c1 d1 e1", "3s f")
	})
}

// TestJointBeginsAndEnds with what the caller wants held as long as a run of several.
func TestJointBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 16, 0)
		begin := time.Now()
		var held []time.Duration
		tm.Begin = func() func() {
			held = append(held, time.Since(begin))
			return func() { held = append(held, time.Since(begin)) }
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond)
		defer cancel()
		tm.ask(t, t.Context(), "a", 3, 1, time.Second, nil)
		tm.ask(t, ctx, "b", 3, 1, 1200*time.Millisecond, context.DeadlineExceeded)
		tm.ask(t, t.Context(), "c", 3, 1, 2*time.Second, nil)
		tm.check(t, "0s a", "1s b c")
		if want := []time.Duration{time.Second, 2 * time.Second}; !slices.Equal(held, want) {
			t.Errorf("held %v, want %v", held, want)
		}
	})
}

// TestJointClosed refuses those who wait, as for all others.
func TestJointClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tm := newTeam(4, 16, time.Second)
		tm.ask(t, t.Context(), "a", 3, 1, 2*time.Second, nil) // it waits for company
		tm.wg.Go(func() {
			if err := tm.Close(); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		if _, err := tm.DoJoint(t.Context(), 0, &tm.Joint, 1, "b"); !problem.Is(err, problem.NotReady) {
			t.Errorf("after Close: %v", err)
		}
		tm.check(t, "1s a")
	})
}
