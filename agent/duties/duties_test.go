package duties

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

const lease = task.LeaseFor

// A line is a queue in memory that writes down what it is told, and when.
type line struct {
	mu      sync.Mutex
	begin   time.Time
	jobs    []*wire.Leased
	asked   int
	said    []string // "complete a", "fail a: reason", "release a", "renew a"
	at      []time.Duration
	granted func() error                           // before a task is given
	renewed func(ctx context.Context) error        // what Renew answers
	taken   func(ctx context.Context, n int) error // what Complete answers the nth time
	reports int
}

func (l *line) say(what string) {
	l.said, l.at = append(l.said, what), append(l.at, time.Since(l.begin))
}

func (l *line) Lease(ctx context.Context, _ []string, wait time.Duration) (*wire.Leased, error) {
	l.mu.Lock()
	l.asked++
	var j *wire.Leased
	if len(l.jobs) > 0 {
		j, l.jobs = l.jobs[0], l.jobs[1:]
	}
	l.mu.Unlock()
	if l.granted != nil {
		if err := l.granted(); err != nil {
			return nil, err
		}
	}
	if j != nil {
		return j, nil
	}
	select {
	case <-time.After(wait):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *line) Renew(ctx context.Context, j *wire.Leased) (time.Duration, error) {
	if l.renewed != nil {
		if err := l.renewed(ctx); err != nil {
			return 0, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say("renew " + j.ID)
	return lease, nil
}

func (l *line) Complete(ctx context.Context, j *wire.Leased, result json.RawMessage) error {
	l.mu.Lock()
	l.reports++
	n := l.reports
	l.mu.Unlock()
	if l.taken != nil {
		if err := l.taken(ctx, n); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.say("complete " + j.ID + ": " + string(result))
	return nil
}

func (l *line) Fail(_ context.Context, j *wire.Leased, f Failure) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	verb := "fail "
	switch {
	case f.Release:
		verb = "release "
	case f.Permanent:
		verb = "bury "
	}
	l.say(verb + j.ID + ": " + f.Reason)
	return nil
}

// heard is what the queue was told, without the renewals, and how many of those.
func (l *line) heard() (said []string, renewals int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.said {
		if s == "renew a" {
			renewals++
		} else {
			said = append(said, s)
		}
	}
	return said, renewals
}

func job(id string) *wire.Leased {
	return &wire.Leased{ID: id, Lease: task.Lease{Epoch: 1, Seq: 1}, ExpiresIn: lease.Seconds(), Kind: task.Noop}
}

// play has a node work on l for a while and returns how long it took to stop.
func play(t *testing.T, l *line, last time.Duration, able func() []string, work Worker) (stopping time.Duration) {
	t.Helper()
	l.begin = time.Now()
	p, err := New(l, able, work, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }() // waited for below
	time.Sleep(last)
	cancel()
	begin := time.Now()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	return time.Since(begin)
}

func always() []string { return []string{"blazeface"} }

// takes is work that lasts so long, unless it is stopped.
func takes(d time.Duration) Worker {
	return func(ctx context.Context, j *wire.Leased) (json.RawMessage, error) {
		select {
		case <-time.After(d):
			return json.RawMessage(`"result"`), nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{jobs: []*wire.Leased{job("a"), job("b"), job("c"), job("d")}}
		play(t, l, time.Minute, always, func(_ context.Context, j *wire.Leased) (json.RawMessage, error) {
			switch j.ID {
			case "a":
				return nil, errors.New("out of luck")
			case "b":
				panic("poison")
			case "c":
				return nil, problem.New(problem.BadMedia, "Send a photo.", "That is no image.")
			}
			return json.RawMessage(`"result"`), nil
		})
		got, _ := l.heard()
		want := []string{"fail a: out of luck", "fail b: The engine panicked on this task.", "bury c: That is no image.", "complete d: \"result\""}
		if !slices.Equal(got, want) {
			t.Errorf("reports %q, want %q", got, want)
		}
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{jobs: []*wire.Leased{job("a")}}
		play(t, l, time.Minute, always, takes(41*time.Second))
		got, renewals := l.heard()
		if !slices.Equal(got, []string{"complete a: \"result\""}) || renewals != 8 {
			t.Errorf("reports %q after %d renewals, want one and 8", got, renewals)
		}
	})
}

// TestLostLease: work whose lease has passed to another stops, and nothing is said of it.
func TestLostLease(t *testing.T) {
	for name, test := range map[string]struct {
		renewed func(context.Context) error
		want    time.Duration // until the work stops
	}{
		"refused": {func(context.Context) error { return problem.New(problem.StaleLease, "", "It has passed to pi-2.") }, 5 * time.Second},
		"silence": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, lease},
		"trouble": {func(context.Context) error { return problem.New(problem.NoLeader, "", "There is no leader.") }, lease},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &line{jobs: []*wire.Leased{job("a")}, renewed: test.renewed}
				var worked time.Duration
				play(t, l, time.Minute, always, func(ctx context.Context, _ *wire.Leased) (json.RawMessage, error) {
					begin := time.Now()
					<-ctx.Done()
					worked = time.Since(begin)
					return json.RawMessage(`1`), nil
				})
				if got, _ := l.heard(); len(got) > 0 || worked != test.want {
					t.Errorf("worked for %v and reported %q, want %v and nothing", worked, got, test.want)
				}
			})
		})
	}
}

// TestLateGrant: a task that came when most of its lease had passed, as to a node
// that was suspended, is begun only if the lease can be renewed.
func TestLateGrant(t *testing.T) {
	for name, test := range map[string]struct {
		late   time.Duration
		stale  bool
		worked int
	}{
		"in time":           {11 * time.Second, false, 1},
		"late, still held":  {13 * time.Second, false, 1},
		"late, passed on":   {13 * time.Second, true, 0},
		"in time, but held": {11 * time.Second, true, 1}, // begun, and stopped at once
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				worked := 0
				l := &line{jobs: []*wire.Leased{job("a")}}
				l.granted = func() error { time.Sleep(test.late); return nil }
				l.renewed = func(context.Context) error {
					time.Sleep(time.Millisecond)
					if test.stale {
						return problem.New(problem.StaleLease, "", "It has passed to pi-2.")
					}
					return nil
				}
				play(t, l, 20*time.Second, always, func(ctx context.Context, j *wire.Leased) (json.RawMessage, error) {
					worked++
					return takes(time.Second)(ctx, j)
				})
				got, _ := l.heard()
				if worked != test.worked || (len(got) == 1) == test.stale {
					t.Errorf("worked %d times and reported %q, want %d times", worked, got, test.worked)
				}
			})
		})
	}
}

// TestReportIsRepeated: a result is offered until it is taken, while the lease is renewed.
func TestReportIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{jobs: []*wire.Leased{job("a")}}
		l.taken = func(context.Context, int) error {
			if time.Since(l.begin) < 30*time.Second {
				return problem.New(problem.NoLeader, "", "There is no leader.")
			}
			return nil
		}
		play(t, l, time.Minute, always, takes(time.Second))
		if got, renewals := l.heard(); !slices.Equal(got, []string{"complete a: \"result\""}) || renewals < 5 {
			t.Errorf("reports %q after %d renewals, want one and 5 or more", got, renewals)
		}
	})
}

func TestRefusedReportIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{jobs: []*wire.Leased{job("a"), job("b")}}
		l.taken = func(_ context.Context, n int) error {
			if n == 1 {
				return problem.New(problem.StaleLease, "", "It has passed to pi-2.")
			}
			return nil
		}
		play(t, l, time.Minute, always, takes(time.Second))
		if got, _ := l.heard(); !slices.Equal(got, []string{"complete b: \"result\""}) || l.reports != 2 {
			t.Errorf("%d reports, taken %q; want 2, and that of b", l.reports, got)
		}
	})
}

// TestStops: short work is finished, long work is given back.
func TestStops(t *testing.T) {
	for name, test := range map[string]struct {
		work time.Duration
		want string
		most time.Duration
	}{
		"short": {11 * time.Second, `complete a: "result"`, time.Second},
		"long":  {time.Hour, "release a: The node stopped before the task was done.", finishGrace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &line{jobs: []*wire.Leased{job("a")}}
				stopping := play(t, l, 10*time.Second, always, takes(test.work))
				if got, _ := l.heard(); !slices.Equal(got, []string{test.want}) || stopping > test.most {
					t.Errorf("reports %q, stopped in %v; want %q in %v", got, stopping, test.want, test.most)
				}
			})
		})
	}
}

// TestStopsWithoutCoordinators: a node that nobody answers stops all the same.
func TestStopsWithoutCoordinators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &line{jobs: []*wire.Leased{job("a")}}
		l.taken = func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }
		if stopping := play(t, l, 10*time.Second, always, takes(time.Second)); stopping > finishGrace+reportTime {
			t.Errorf("stopped in %v, want %v at most", stopping, finishGrace+reportTime)
		}
	})
}

// TestAsksSeldomInTrouble: what cannot be asked is not asked all the time, and a
// node that can do nothing does not ask at all.
func TestAsksSeldomInTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		err         error
		able        []string
		least, most int
	}{
		"nobody":   {errNobody, always(), 20, 150},
		"leader":   {problem.New(problem.NoLeader, "", "There is no leader."), always(), 20, 150},
		"busy":     {&problem.Error{Code: problem.Busy, RetryAfter: 10 * time.Second}, always(), 10, 60},
		"not able": {nil, nil, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &line{granted: func() error { return test.err }}
				play(t, l, 10*time.Minute, func() []string { return test.able }, takes(0))
				if l.asked < test.least || l.asked > test.most {
					t.Errorf("asked %d times in 10 min, want %d to %d", l.asked, test.least, test.most)
				}
			})
		})
	}
}
