// Package health keeps what is wrong with a node: a list of conditions, each
// with a code, a severity, since when, a sentence and a remedy.
//
// The probes, the status page, the command line and gossip read the same list.
// A condition shows only after it has lasted for its dwell, so that a short
// blink neither takes a node out of service nor wakes anybody.
package health

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"primespark/shared/run"
	"primespark/shared/watch"
)

// A Code names a kind of condition. Those in use by /readyz never change their
// meaning.
type Code string

// The codes of conditions that make a node unready.
const (
	Starting      Code = "starting"
	NoQuorum      Code = "no_quorum"      // a coordinator's writes and reads wait
	StorageFull   Code = "storage_full"   // writes are refused until there is room
	ClockUnsynced Code = "clock_unsynced" // certificates and deadlines cannot be trusted
	CorruptStore  Code = "corrupt_store"
	Draining      Code = "draining" // asked to finish its work and take no more
	LowBattery    Code = "low_battery"
	GoingDown     Code = "going_down"   // the host is being switched off
	Waiting       Code = "waiting"      // for others of the site to come back first
	NoModels      Code = "no_models"    // an agent that can infer nothing
	DiskStalled   Code = "disk_stalled" // the disk under the state does not answer
	Removed       Code = "removed"      // a coordinator that the others do not count any more
)

// The codes of conditions that a node goes on with.
const (
	SlowDisk Code = "slow_disk" // agreeing and replacing a leader take longer
	// BackupFailed: the newest scheduled backup could not be made, or is overdue.
	BackupFailed Code = "backup_failed"
	// Accelerator: there is one, or should be, and it does not work as it should.
	Accelerator Code = "accelerator"
	// SafeMode: an agent that kept crashing leaves out what may be why.
	SafeMode Code = "safe_mode"
)

// A Severity says what a condition does to the node.
type Severity string

// The severities. Unready takes the node out of service; with the others it
// goes on.
const (
	Info    Severity = "info"    // worth knowing
	Warning Severity = "warning" // something works less well than it should
	Unready Severity = "unready" // send no requests here
)

// A Condition is one thing that holds of a node.
type Condition struct {
	Code     Code      `json:"code"`
	Severity Severity  `json:"severity"`
	Detail   string    `json:"detail"` // one sentence: what is wrong
	Remedy   string    `json:"remedy"` // one sentence: what to do
	Since    time.Time `json:"since"`  // when it began, not when it first showed
}

// A List is the conditions that show, sorted by code. A List that is shared is
// never changed.
type List []Condition

// Reasons returns those that make the node unready. A node without any is ready.
func (l List) Reasons() List {
	return slices.DeleteFunc(slices.Clone(l), func(c Condition) bool { return c.Severity != Unready })
}

// Codes returns the codes of l, for gossip.
func (l List) Codes() []string {
	var codes []string
	for _, c := range l {
		codes = append(codes, string(c.Code))
	}
	return codes
}

// A Registry collects the conditions of one node from all its parts. It is a
// part itself: while it runs, conditions begin to show when their time comes.
// It is safe to share.
type Registry struct {
	mu    sync.Mutex
	dwell map[Code]time.Duration
	held  map[Code]Condition
	shown *watch.Value[List]
	again chan struct{} // 1 deep: the next time to look has changed
}

// New returns a registry in which a condition must have lasted for its dwell
// before it shows; one without a dwell shows at once.
func New(dwell map[Code]time.Duration) *Registry {
	return &Registry{
		dwell: maps.Clone(dwell),
		held:  map[Code]Condition{},
		shown: watch.New(List{}),
		again: make(chan struct{}, 1),
	}
}

// Set says that a condition holds. If it held before, its beginning stays, and
// the rest is replaced.
func (r *Registry) Set(code Code, severity Severity, detail, remedy string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := Condition{Code: code, Severity: severity, Detail: detail, Remedy: remedy, Since: time.Now().UTC()}
	if old, ok := r.held[code]; ok {
		c.Since = old.Since
	}
	r.held[code] = c
	r.show()
	r.wake()
}

// Clear says that a condition does not hold any more.
func (r *Registry) Clear(code Code) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, held := r.held[code]; !held {
		return
	}
	delete(r.held, code)
	r.show()
	r.wake()
}

// Watch returns the conditions that show, for those who wait for a change.
func (r *Registry) Watch() *watch.Value[List] { return r.shown }

// All returns the conditions that show.
func (r *Registry) All() List {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.show()
}

// Reasons returns the conditions that show and make the node unready.
func (r *Registry) Reasons() List { return r.All().Reasons() }

// Run lets conditions show as their time comes, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	for {
		r.mu.Lock()
		r.show()
		due := time.NewTimer(r.next())
		r.mu.Unlock()
		select {
		case <-due.C:
		case <-r.again:
		case <-ctx.Done():
			due.Stop()
			return nil
		}
		due.Stop()
	}
}

func (r *Registry) String() string { return "health" }

var _ run.Part = (*Registry)(nil)

// show stores what shows now if it is not what showed before. It wants the lock
// held.
func (r *Registry) show() List {
	list := List{}
	for _, c := range r.held {
		if r.left(c) <= 0 {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b Condition) int { return strings.Compare(string(a.Code), string(b.Code)) })
	if !slices.Equal(list, r.shown.Get()) {
		r.shown.Store(list)
	}
	return list
}

// wake makes Run look when it has to look next.
func (r *Registry) wake() {
	select {
	case r.again <- struct{}{}:
	default: // it is told already
	}
}

// left is how long c must still last before it shows.
func (r *Registry) left(c Condition) time.Duration { return r.dwell[c.Code] - time.Since(c.Since) }

// next is the time until another condition shows; an hour if none waits. It
// wants the lock held.
func (r *Registry) next() time.Duration {
	first := time.Hour
	for _, c := range r.held {
		if d := r.left(c); d > 0 {
			first = min(first, d)
		}
	}
	return first
}
