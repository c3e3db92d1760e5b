package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/history"
	"primespark/shared/health"
	"primespark/shared/run"
)

const (
	batch     = 10_000           // rows that a sink gets at a time
	patience  = time.Minute      // for one batch, and for opening
	waitLeast = time.Second      // after a failure
	waitMost  = time.Minute      // after many
	saveEvery = 5 * time.Second  // between two writes of the cursor; a crash sends so much again
	tellAfter = 2 * time.Minute  // of failures: a condition shows
	sayEvery  = 15 * time.Second // between two words to those who follow; a new leader sends so much again
	lookEvery = 15 * time.Second // at the history, when it tells of nothing new
)

// Config is what a Feed works with.
type Config struct {
	Name   string // of the sink: "postgres"
	Source Source
	// Open makes the sink, or says why it cannot; it is asked again after a failure.
	Open func(ctx context.Context) (Sink, error)
	// Say tells the other coordinators up to where in their logs, by the logs' ids, the
	// sink has everything. It may fail: then they send rows again that they need not.
	Say func(ctx context.Context, logs map[string]uint64) error

	Conditions *health.Registry
	Log        *slog.Logger
	Metrics    prometheus.Registerer
}

// A Feed copies the history to one sink while it runs: on the leader, and on one
// coordinator at a time.
type Feed struct {
	Config
	metrics *metrics

	cursor, saved uint64
	savedAt, told time.Time
	next          *word             // to those who follow; nil if none is due
	last          map[string]uint64 // that was said
	failing       time.Time         // since when; zero while all is well
	said          string            // the failure that was logged
}

var _ run.Part = (*Feed)(nil)

// New returns a feed.
func New(c Config) (*Feed, error) {
	m, err := newMetrics(c.Metrics, c.Name)
	if err != nil {
		return nil, err
	}
	return &Feed{Config: c, metrics: m}, nil
}

func (f *Feed) String() string { return f.Name + " sink" }

// cursorOf is the name of a sink's cursor in the history.
func cursorOf(sink string) string { return "sink-" + sink }

// Run copies until ctx ends. It may run again after that.
func (f *Feed) Run(ctx context.Context) (err error) {
	if f.cursor, err = f.Source.Cursor(cursorOf(f.Name)); err != nil {
		return fmt.Errorf("read the cursor of the sink %s: %w", f.Name, err)
	}
	f.saved, f.failing, f.said, f.next = f.cursor, time.Time{}, "", nil
	defer f.rest()
	for wait := waitLeast; ; wait = min(2*wait, waitMost) {
		began := f.cursor
		err := f.session(ctx)
		if ctx.Err() != nil {
			return f.save()
		}
		if f.cursor != began {
			wait = waitLeast
		}
		f.failed(err)
		if !run.Sleep(ctx, wait/10+rand.N(wait*9/10)) {
			return f.save()
		}
	}
}

// session opens the sink and feeds it until it fails or ctx ends.
func (f *Feed) session(ctx context.Context) (err error) {
	opening, cancel := context.WithTimeout(ctx, patience)
	sink, err := f.Open(opening)
	cancel()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	for {
		_, changed := f.Source.Last() // before the look, so that nothing falls in between
		f.prepare()
		n, err := f.copy(ctx, sink)
		if err != nil {
			return err
		}
		f.tell(ctx)
		if n > 0 && time.Since(f.savedAt) < saveEvery {
			continue
		}
		if err := f.save(); err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		f.caughtUp()
		timer := time.NewTimer(lookEvery)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// copy hands the next rows to the sink and returns how many there were.
func (f *Feed) copy(ctx context.Context, sink Sink) (int, error) {
	if first := f.Source.First(); f.cursor > 0 && first > f.cursor+1 {
		f.metrics.lost.Add(float64(first - f.cursor - 1))
		f.Log.Warn("rows fell out of the history before the sink had them", "sink", f.Name, "rows", first-f.cursor-1,
			"remedy", "keep more history, or mend the sink sooner")
		f.cursor = first - 1
	}
	rows, err := f.Source.After(f.cursor, batch)
	if err != nil {
		return 0, fmt.Errorf("read the history: %w", err)
	}
	if len(rows) == 0 {
		return 0, nil
	}
	f.metrics.behind(rows[0].At)
	if err := f.write(ctx, sink, rows); err != nil {
		return 0, err
	}
	f.cursor = rows[len(rows)-1].N
	f.works()
	return len(rows), nil
}

// write hands rows over. Where some are at fault it finds them by halves, drops
// and tells of them, so that one bad row neither holds up the rest nor vanishes.
func (f *Feed) write(ctx context.Context, sink Sink, rows []history.Row) error {
	within, cancel := context.WithTimeout(ctx, patience)
	err := sink.Write(within, rows)
	cancel()
	switch {
	case err == nil:
		f.metrics.rows.Add(float64(len(rows)))
		return nil
	case !errors.Is(err, ErrRejected):
		return err
	case len(rows) > 1:
		half := len(rows) / 2
		if err := f.write(ctx, sink, rows[:half]); err != nil {
			return err
		}
		return f.write(ctx, sink, rows[half:])
	}
	f.metrics.rejected.Inc()
	r := rows[0]
	f.Log.Warn("a row is rejected and left out", "sink", f.Name, "node", r.Node, "stream", r.Stream, "boot", r.Boot, "seq", r.Seq, "err", err)
	return nil
}

func (f *Feed) save() error {
	if f.cursor == f.saved {
		return nil
	}
	if err := f.Source.SetCursor(cursorOf(f.Name), f.cursor); err != nil {
		return fmt.Errorf("keep the cursor of the sink %s: %w", f.Name, err)
	}
	f.saved, f.savedAt = f.cursor, time.Now()
	return nil
}

// caughtUp notes that the sink has everything.
func (f *Feed) caughtUp() {
	f.works()
	f.metrics.caughtUp()
}

// failed tells of a failure when it begins, and again when it is another one. The
// lag grows meanwhile with the rows that wait.
func (f *Feed) failed(err error) {
	f.metrics.failures.Inc()
	f.metrics.connected.Set(0)
	if rows, err := f.Source.After(f.cursor, 1); err == nil && len(rows) > 0 {
		f.metrics.behind(rows[0].At)
	}
	if f.failing.IsZero() {
		f.failing = time.Now()
	}
	if text := err.Error(); text != f.said {
		f.said = text
		f.Log.Warn("sink fails, its rows wait", "sink", f.Name, "err", err, "next", "it is tried again, up to a minute apart")
	}
	if time.Since(f.failing) >= tellAfter {
		f.Conditions.Set(f.code(), health.Warning, "The sink "+f.Name+" takes no rows; they wait in the history.",
			"See the log for the error, and whether what sinks."+f.Name+" names runs and is reached.")
	}
}

func (f *Feed) works() {
	f.metrics.connected.Set(1)
	if f.failing.IsZero() {
		return
	}
	f.Log.Info("sink works again", "sink", f.Name, "after", time.Since(f.failing).Round(time.Second).String())
	f.Conditions.Clear(f.code())
	f.failing, f.said = time.Time{}, ""
}

// rest takes back what holds only of the one who feeds.
func (f *Feed) rest() {
	f.metrics.connected.Set(0)
	f.metrics.caughtUp()
	f.Conditions.Clear(f.code())
}

func (f *Feed) code() health.Code { return health.Code("sink_" + f.Name + "_failing") }
