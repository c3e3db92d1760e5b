package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/history"
	"primespark/coordinator/sinks"
	"primespark/shared/health"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// A memory is a history made of memory.
type memory struct {
	mu      sync.Mutex
	rows    []history.Row
	first   uint64
	last    *watch.Value[uint64]
	cursors map[string]uint64
	logs    map[string]uint64
	fault   error
}

func newMemory() *memory {
	return &memory{first: 1, last: watch.New(uint64(0)), cursors: map[string]uint64{}}
}

func (m *memory) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		i := uint64(len(m.rows) + 1)
		m.rows = append(m.rows, history.Row{N: i, Node: "pi-1", Sample: telemetry.Sample{Boot: 1, Stream: "cpu", Seq: i, At: time.Now(), Value: telemetry.Number(1, "")}})
	}
	m.last.Store(uint64(len(m.rows)))
}

func (m *memory) After(n uint64, most int) ([]history.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		return nil, m.fault
	}
	from := max(n, m.first-1)
	return slices.Clone(m.rows[from:min(uint64(len(m.rows)), from+uint64(most))]), nil
}

func (m *memory) First() uint64                   { m.mu.Lock(); defer m.mu.Unlock(); return m.first }
func (m *memory) Last() (uint64, <-chan struct{}) { return m.last.Load() }

func (m *memory) Cursor(name string) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursors[name], nil
}

func (m *memory) SetCursor(name string, n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursors[name] = n
	return nil
}

func (m *memory) Logs() map[string]uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.logs)
}

// follow has the log read from another one, up to a number of that.
func (m *memory) follow(id string, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logs == nil {
		m.logs = map[string]uint64{}
	}
	m.logs[id] = n
}

// A drain is a sink that can be away, and that dislikes one sequence.
type drain struct {
	mu      sync.Mutex
	got     []uint64
	away    error
	dislike uint64
	room    int // for so many rows; 0 for all
	opened  int
}

func (d *drain) open(context.Context) (sinks.Sink, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened++
	return d, d.away
}

func (d *drain) Write(_ context.Context, rows []history.Row) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away != nil {
		return d.away
	}
	if d.room > 0 && len(d.got)+len(rows) > d.room {
		return errors.New("no room")
	}
	for _, r := range rows {
		if r.Seq == d.dislike {
			return fmt.Errorf("%w: %d", sinks.ErrRejected, r.Seq)
		}
	}
	for _, r := range rows {
		d.got = append(d.got, r.Seq)
	}
	return nil
}

func (d *drain) Close() error { return nil }

func (d *drain) set(away error) { d.mu.Lock(); defer d.mu.Unlock(); d.away = away }
func (d *drain) all() []uint64  { d.mu.Lock(); defer d.mu.Unlock(); return slices.Clone(d.got) }

type lab struct {
	t          *testing.T
	history    *memory
	sink       *drain
	conditions *health.Registry
	reg        *prometheus.Registry
	feed       *sinks.Feed
	said       []map[string]uint64
	stop       func()
}

// inBubble starts a feed of an empty history.
func inBubble(t *testing.T, story func(*testing.T, *lab)) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{t: t, history: newMemory(), sink: &drain{}, conditions: health.New(nil), reg: prometheus.NewRegistry()}
		feed, err := sinks.New(sinks.Config{
			Name: "postgres", Source: l.history, Open: l.sink.open, Say: l.say,
			Conditions: l.conditions, Log: slog.New(slog.DiscardHandler), Metrics: l.reg,
		})
		if err != nil {
			t.Fatal(err)
		}
		l.feed = feed
		l.start()
		story(t, l)
		l.stop()
	})
}

func (l *lab) say(_ context.Context, logs map[string]uint64) error {
	l.said = append(l.said, logs)
	return nil
}

func (l *lab) start() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.feed.Run(ctx) }()
	l.stop = func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Error(err)
		}
	}
	synctest.Wait()
}

func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

// whole checks that the sink has all rows up to n, each at least once, in order.
func (l *lab) whole(n uint64) {
	l.t.Helper()
	var highest uint64
	for _, seq := range l.sink.all() {
		if seq > highest+1 {
			l.t.Errorf("%d came after %d", seq, highest)
		}
		highest = max(highest, seq)
	}
	if highest != n {
		l.t.Errorf("the sink has rows up to %d, want %d", highest, n)
	}
}

func (l *lab) figure(name string) float64 {
	l.t.Helper()
	families, err := l.reg.Gather()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "primespark_sink_"+name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	l.t.Fatalf("no figure %s", name)
	return 0
}

func TestCopiesAndGoesOnAfterAStop(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.history.add(25_000) // more than a batch
		synctest.Wait()
		l.whole(25_000)
		l.stop()
		l.history.add(10)
		l.start()
		l.whole(25_010)
		if n := len(l.sink.all()); n != 25_010 {
			t.Errorf("%d rows were sent, want each once: the cursor is kept at a stop", n)
		}
	})
}

func TestSinkIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.history.add(5)
		synctest.Wait()
		l.sink.set(errors.New("connection refused"))
		l.history.add(5)
		pass(90 * time.Second)
		if lag := l.figure("lag_seconds"); lag < 89 || lag > 91 {
			t.Errorf("lag %v s, want 90", lag)
		}
		if len(l.conditions.All()) != 0 {
			t.Error("a condition shows before it has lasted")
		}
		pass(5 * time.Minute)
		if all := l.conditions.All(); len(all) != 1 || all[0].Code != "sink_postgres_failing" {
			t.Errorf("conditions %v", all)
		}
		if l.sink.opened > 60 { // of some 6 to begin with, and then 6 to 60 s apart
			t.Errorf("opened %d times in 6 minutes", l.sink.opened)
		}
		l.sink.set(nil)
		pass(time.Minute)
		l.whole(10)
		if all := l.conditions.All(); len(all) != 0 || l.figure("lag_seconds") != 0 || l.figure("connected") != 1 {
			t.Errorf("still %v, lag %v", all, l.figure("lag_seconds"))
		}
	})
}

func TestOneBadRow(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.sink.dislike = 700
		l.history.add(1000)
		synctest.Wait()
		got := l.sink.all()
		if len(got) != 999 || slices.Contains(got, 700) || l.figure("rejected_rows_total") != 1 {
			t.Errorf("%d rows, %v rejected; want all but one", len(got), l.figure("rejected_rows_total"))
		}
	})
}

func TestRowsFellOut(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.history.add(10)
		synctest.Wait()
		l.stop()
		l.history.add(100)
		l.history.first = 61
		l.start()
		if got := l.sink.all(); len(got) != 60 || l.figure("lost_rows_total") != 50 {
			t.Errorf("%d rows came, %v are counted as lost; want 60 and 50", len(got), l.figure("lost_rows_total"))
		}
	})
}

func TestHistoryFails(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.history.fault = errors.New("damaged block")
		l.history.add(5)
		pass(3 * time.Minute)
		if len(l.conditions.All()) != 1 {
			t.Error("nothing tells that the history cannot be read")
		}
	})
}

// TestFollower: a coordinator that follows moves its cursor to where the leader
// says, and never back, and one that leads does not.
func TestFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		history, heard, leading := newMemory(), watch.New(uint64(0)), false
		f := &sinks.Follower{
			Name: "postgres", Source: history, Heard: heard.Load,
			Leading: func() bool { return leading }, Log: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- f.Run(ctx) }()
		synctest.Wait()
		for _, step := range []struct {
			leads       bool
			hears, want uint64
		}{
			{false, 100, 100},
			{false, 90, 100}, // of a leader that knows less
			{true, 200, 100},
			{false, 210, 210},
		} {
			leading = step.leads
			heard.Store(step.hears)
			synctest.Wait()
			if n, _ := history.Cursor("sink-postgres"); n != step.want {
				t.Errorf("%+v: cursor %d", step, n)
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestWhatFollowersHear: the leader says how far it has read the logs of others,
// when the sink has all of that, and says nothing twice.
func TestWhatFollowersHear(t *testing.T) {
	inBubble(t, func(t *testing.T, l *lab) {
		l.stop()
		l.said = nil
		l.history.follow("of-c2", 7)
		l.sink.room = 10_000 // for the first of two batches
		l.history.add(15_000)
		l.start()
		pass(time.Minute)
		if len(l.said) != 0 {
			t.Errorf("said %v of rows that the sink has not", l.said)
		}
		l.history.follow("of-c2", 9)
		l.sink.mu.Lock()
		l.sink.room = 0
		l.sink.mu.Unlock()
		pass(3 * time.Minute) // the feed tries again within one
		if len(l.said) == 0 || l.said[len(l.said)-1]["of-c2"] != 9 {
			t.Errorf("said %v, want 9 in the end", l.said)
		}
		before := len(l.said)
		pass(time.Hour)
		if n := len(l.said) - before; n != 0 {
			t.Errorf("said %d times more, and nothing new", n)
		}
		for n := range uint64(60) {
			l.history.add(1)
			l.history.follow("of-c2", 10+n)
			pass(time.Second)
		}
		if n := len(l.said) - before; n < 3 || n > 5 {
			t.Errorf("said %d times in a minute, want 4", n)
		}
	})
}
