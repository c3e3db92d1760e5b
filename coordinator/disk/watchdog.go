package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/run"
)

// A Watchdog writes to a disk each second and tells what that says of it.
type Watchdog struct {
	disk Disk
	also func() error
	act  func(State)
	log  *slog.Logger
	sync prometheus.Histogram
	free prometheus.Gauge
}

var _ run.Part = (*Watchdog)(nil)

// Watch returns a watchdog over d. It calls act with each new State, several
// times a second while the disk does not answer; act must not touch the disk.
// Metrics go to r; nil for none.
func Watch(d Disk, act func(State), log *slog.Logger, r prometheus.Registerer) (*Watchdog, error) {
	w := &Watchdog{
		disk: d, act: act, log: log,
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "primespark_disk_fsync_seconds", Help: "How long the state directory's disk takes to make a small write last.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 3, 10},
		}),
		free: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "primespark_disk_free_bytes", Help: "Room on the state directory's disk.",
		}),
	}
	if r == nil {
		return w, nil
	}
	if err := errors.Join(r.Register(w.sync), r.Register(w.free)); err != nil {
		return nil, fmt.Errorf("register the disk's metrics: %w", err)
	}
	return w, nil
}

// Also has each probe wait for what else has to be on the disk. Its error, or that
// it does not return, is the disk's; how long it takes says nothing of the speed.
func (w *Watchdog) Also(flush func() error) { w.also = flush }

func (w *Watchdog) String() string { return "disk watchdog" }

// ErrLost is the error of a disk that has not answered for 10 s.
var ErrLost = errors.New("the disk does not answer")

// Run watches until ctx ends, or until the disk has not answered for 10 s: then
// it returns ErrLost.
func (w *Watchdog) Run(ctx context.Context) error {
	var s State
	answers := make(chan reading, 1) // at most one probe is under way
	asked, waits := 0, false         // looks since the last probe began; whether it is out
	tick := time.NewTicker(look)
	defer tick.Stop()
	probe := func() {
		asked, waits = 0, true
		go func() { answers <- w.probe() }() // ends when the disk answers, if ever
	}
	probe()
	for {
		was := s
		select {
		case <-ctx.Done():
			if waits {
				select {
				case <-answers:
				case <-time.After(every): // whoever takes the directory away has waited enough
				}
			}
			return nil
		case r := <-answers:
			waits = false
			s = s.after(r)
			w.note(r)
		case <-tick.C:
			asked++
			s = s.waited()
			if !waits && asked >= int(every/look) {
				probe()
			}
		}
		w.tell(was, s)
		w.act(s)
		if s.Lost() {
			return lost(s)
		}
	}
}

func lost(s State) error {
	if s.Err != nil {
		return fmt.Errorf("%w: no write of the last %v s succeeded: %w", ErrLost, s.Silence.Seconds(), s.Err)
	}
	return fmt.Errorf("%w: a write of %v s ago has not come back", ErrLost, s.Silence.Seconds())
}

// probe asks the disk, for as long as it takes.
func (w *Watchdog) probe() (r reading) {
	start := time.Now()
	r.err = w.disk.Sync()
	r.took = time.Since(start)
	if r.err == nil && w.also != nil {
		r.err = w.also()
	}
	r.free, r.size, r.spaceErr = w.disk.Space()
	return r
}

// note keeps the figures.
func (w *Watchdog) note(r reading) {
	if r.err == nil {
		w.sync.Observe(r.took.Seconds())
	}
	if r.spaceErr == nil {
		w.free.Set(float64(r.free))
	}
}

// tell logs what has begun and what has ended.
func (w *Watchdog) tell(was, is State) {
	switch {
	case is.Hung() && !was.Hung():
		w.log.Error("the disk does not answer, leaving the lead to others", "silent_s", is.Silence.Seconds(), "err", is.Err,
			"remedy", "look into dmesg; replace the card, the cable or the disk")
	case was.Hung() && !is.Hung():
		w.log.Info("the disk answers again", "silent_s", was.Silence.Seconds())
	}
	switch {
	case is.Full && !was.Full:
		w.log.Error("the disk is full, leaving the lead to others", "free_bytes", is.Free, "wanted_bytes", is.Floor, "err", is.Err,
			"remedy", "make room; this coordinator then goes on by itself")
	case was.Full && !is.Full:
		w.log.Info("the disk has room again", "free_bytes", is.Free)
	}
	switch {
	case is.Slow && !was.Slow:
		w.log.Warn("the disk has become slow", "limit_ms", SlowSync.Milliseconds(),
			"remedy", "see what else writes to it; put the state directory on an SSD")
	case was.Slow && !is.Slow:
		w.log.Info("the disk is quick again")
	}
}
