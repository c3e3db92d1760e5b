// Package ingest makes the samples of nodes durable and acknowledges them.
//
// Where history lives: each coordinator keeps all of it, in a store of its own.
// Samples enter by whichever coordinator they come to, and the others follow that
// one's log (Follow), by long polls that carry what is new and confirm what is
// stored. An acknowledgement goes to the node only when the samples are on the
// disk of this coordinator and of one more, if the group has one: one of them can
// be lost for good, and nothing that was acknowledged is. With the second holder
// away nothing is acknowledged, and the samples wait in the nodes' outboxes.
//
// It does no harm if two coordinators take the same samples: rows are known by
// node, boot, stream and sequence, and each store has each of them once. That is
// why no lease is needed to be right; to save work, one coordinator at a time,
// the leader, listens to a broker that all of them could listen to.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/coordinator/fsm"
	"primespark/coordinator/history"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// HistoryWaits is the condition of a coordinator that cannot acknowledge samples,
// for want of a second one that stores them.
const HistoryWaits health.Code = "history_waits"

// A Store is the history of this coordinator.
type Store interface {
	Append(ctx context.Context, node string, samples []telemetry.Sample) (history.Appended, error)
	Follow(ctx context.Context, peer string, rows []history.Row, upTo uint64) error
	Followed(peer string) uint64
	ID() string
	Last() (uint64, <-chan struct{})
	After(n uint64, most int) ([]history.Row, error)
}

// Config is what an Ingest works with.
type Config struct {
	Self       string
	Store      Store
	State      func() fsm.State
	Holds      func(fsm.Node) bool // whether a coordinator keeps history; nil: all do
	Conditions *health.Registry
	Log        *slog.Logger
	Metrics    prometheus.Registerer // nil: none
}

func (c Config) holds(n fsm.Node) bool { return c.Holds == nil || c.Holds(n) }

// An Ingest is safe to share.
type Ingest struct {
	cfg       Config
	confirmed *watch.Value[map[string]uint64] // by coordinator: up to where it has this log on its disk
	metrics   *metrics
}

// New returns an Ingest.
func New(cfg Config) (*Ingest, error) {
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Ingest{cfg: cfg, confirmed: watch.New(map[string]uint64{}), metrics: m}, nil
}

const (
	// confirmIn is how long samples wait for a second holder, until the node is told
	// to come back.
	confirmIn = 5 * time.Second
	// SamplesMost is how many samples are taken at a time.
	SamplesMost = 5000
)

// Take stores samples of a node and returns what of its streams is stored for
// good. An error means that nothing is acknowledged, not that nothing is stored.
func (i *Ingest) Take(ctx context.Context, node string, samples []telemetry.Sample) ([]telemetry.Ack, error) {
	if err := i.admit(node, samples); err != nil {
		return nil, err
	}
	start := time.Now()
	got, err := i.cfg.Store.Append(ctx, node, samples)
	if err != nil {
		return nil, &problem.Error{
			Code: problem.NotReady, Err: err, RetryAfter: confirmIn,
			Detail: "This coordinator cannot store samples now.", Remedy: "They are sent again by themselves; see that its disk has room.",
		}
	}
	if err := i.safe(ctx, got.Last); err != nil {
		return nil, err
	}
	i.metrics.latency.Observe(time.Since(start).Seconds())
	return got.Acks, nil
}

// admit refuses what is not of a node that takes part.
func (i *Ingest) admit(node string, samples []telemetry.Sample) error {
	n, ok := i.cfg.State().Nodes[node]
	switch {
	case !ok || !n.Active():
		i.metrics.refused.Inc()
		return problem.New(problem.Forbidden, "Have it approved, or join it again.", "The node %.40q is not an approved member of this cluster.", node)
	case len(samples) > SamplesMost:
		return problem.New(problem.TooLarge, fmt.Sprintf("Send at most %d at a time.", SamplesMost), "There are %d samples in one message.", len(samples))
	}
	for _, s := range samples {
		if !s.Stream.Valid() {
			return problem.New(problem.Invalid, "Name it with a-z, 0-9 and hyphen.", "A sample is of the stream %.40q.", s.Stream)
		}
	}
	return nil
}

// holders are the coordinators that keep history, besides this one.
func (i *Ingest) holders() (names []string) {
	for _, n := range i.cfg.State().Coordinators() {
		if n.Name != i.cfg.Self && n.Active() && i.cfg.holds(n) {
			names = append(names, n.Name)
		}
	}
	return names
}

// safe waits until rows up to n are on the disk of a second coordinator, if there
// is one.
func (i *Ingest) safe(ctx context.Context, n uint64) error {
	ctx, cancel := context.WithTimeout(ctx, confirmIn)
	defer cancel()
	for {
		confirmed, changed := i.confirmed.Load()
		others := i.holders()
		if len(others) == 0 || slices.ContainsFunc(others, func(name string) bool { return confirmed[name] >= n }) {
			i.cfg.Conditions.Clear(HistoryWaits)
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			remedy := "Start another coordinator, or remove those that are gone for good with prime-spark revoke."
			i.cfg.Conditions.Set(HistoryWaits, health.Warning, "No other coordinator stores what this one does, so nodes keep their samples.", remedy)
			return &problem.Error{
				Code: problem.NotReady, RetryAfter: confirmIn, Remedy: remedy,
				Detail: "No second coordinator has stored the samples yet, so they are not acknowledged.",
			}
		}
	}
}

// Confirm notes that another coordinator has this log on its disk up to n.
func (i *Ingest) Confirm(peer string, n uint64) {
	i.confirmed.Update(func(old map[string]uint64) map[string]uint64 {
		if n <= old[peer] {
			return old
		}
		now := maps.Clone(old)
		now[peer] = n
		return now
	})
}

// pageRows is how many rows a page holds: some 400 KB.
const pageRows = 5000

// Log returns what comes after a number of this coordinator's log, and takes the
// question for the word of peer that it has stored everything up to there. It waits
// for news that long. A caller who knows another log gets the name of this one and
// no rows, and so does one who is ahead of it, for it was restored from a backup.
func (i *Ingest) Log(ctx context.Context, peer, id string, after uint64, wait time.Duration) (history.Page, error) {
	p := history.Page{ID: i.cfg.Store.ID()}
	if id != p.ID {
		p.Last, _ = i.cfg.Store.Last()
		return p, nil
	}
	if n, ok := i.cfg.State().Nodes[peer]; !ok || !n.Active() || n.Role != fleet.Coordinator {
		return history.Page{}, problem.New(problem.Forbidden, "Use a coordinator's certificate.", "Only coordinators of this cluster may read the log of the history.")
	}
	if p.Last, _ = i.cfg.Store.Last(); after > p.Last {
		return p, nil
	}
	i.Confirm(peer, after)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		last, changed := i.cfg.Store.Last()
		if after < last {
			rows, err := i.cfg.Store.After(after, pageRows)
			if err != nil {
				return history.Page{}, err
			}
			if len(rows) > 0 { // none if the newest are in a block that is damaged
				p.First, p.Last, p.Rows = rows[0].N, last, rows
				return p, nil
			}
		}
		p.Last = last
		select {
		case <-changed:
		case <-timer.C:
			return p, nil
		case <-ctx.Done():
			return p, nil
		}
	}
}
