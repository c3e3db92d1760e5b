package dispatch

import (
	"context"
	"sync"
	"time"

	"primespark/shared/fleet"
)

// hold is how long an agent is left out after a failed request, unless it
// speaks sooner. It is longer than gossip needs to find it dead (2.3 to 3.8 s).
const hold = 5 * time.Second

// flights are the requests under way, by agent, and the agents that failed one.
type flights struct {
	mu    sync.Mutex
	under map[string]map[*flight]struct{}
	out   map[string]suspicion
	heard map[string]hearing
	full  map[string]time.Time // agents that refused a request, until when they count as busy
}

// A flight is one request under way.
type flight struct{ cancel context.CancelCauseFunc }

// A suspicion is why an agent is left out, and what it had last said of itself.
type suspicion struct {
	reason string
	until  time.Time
	vital  fleet.Vital
}

// weight is what the newest word of an agent counts in the mean of what others have sent
// to it: each comes when its load changes, 400 ms apart at least, and tells of a moment.
const weight = 0.2

// An agent that refused a request counts as having so many more for that long: it
// answers at once, and would be asked first each time.
const (
	fullFor = 250 * time.Millisecond
	fullBy  = 8
)

// A hearing is what an agent told of its load, beside what was known here then.
type hearing struct {
	vital  fleet.Vital
	others float64 // requests that it had and that were not ours, as a mean
}

// start notes a request to node; the function that it returns notes its end.
func (f *flights) start(node string, cancel context.CancelCauseFunc) (landed func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.under == nil {
		f.under = map[string]map[*flight]struct{}{}
	}
	if f.under[node] == nil {
		f.under[node] = map[*flight]struct{}{}
	}
	one := &flight{cancel}
	f.under[node][one] = struct{}{}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.under[node], one)
		if len(f.under[node]) == 0 {
			delete(f.under, node)
		}
	}
}

// sent counts the requests under way at each agent.
func (f *flights) sent() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := make(map[string]int, len(f.under))
	for node, all := range f.under {
		n[node] = len(all)
	}
	return n
}

// others is how many requests that are not ours each agent has, as far as it tells.
func (f *flights) others(now time.Time) map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := make(map[string]float64, len(f.heard))
	for node, h := range f.heard {
		n[node] = h.others
	}
	for node, until := range f.full {
		if !now.Before(until) {
			delete(f.full, node)
			continue
		}
		n[node] += fullBy
	}
	return n
}

// refused notes that node had no room, or could not.
func (f *flights) refused(node string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full == nil {
		f.full = map[string]time.Time{}
	}
	f.full[node] = now.Add(fullFor)
}

// hear notes what the agents tell. What it tells is of a moment shortly before, and
// ours come and go meanwhile, so a single word is often wrong by a few; the mean is not.
func (f *flights) hear(view fleet.View) {
	heard := make(map[string]hearing, len(view))
	for _, n := range view {
		h, ok := f.heard[n.Name]
		if !ok || n.Vital.Newer(h.vital) {
			told := float64(max(0, n.Vital.InFlight+n.Vital.Queue-len(f.under[n.Name])))
			if ok {
				told = h.others + (told-h.others)*weight
			}
			h = hearing{n.Vital, told}
		}
		heard[n.Name] = h
	}
	f.heard = heard
}

// suspect leaves node out for a while.
func (f *flights) suspect(node, reason string, view fleet.View, now time.Time) {
	n, _ := view.Find(node)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.out == nil {
		f.out = map[string]suspicion{}
	}
	f.out[node] = suspicion{reason, now.Add(hold), n.Vital}
}

// suspects are the agents to leave out at now, with the reason. One that has
// spoken of itself since it failed is given another chance.
func (f *flights) suspects(view fleet.View, now time.Time) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.out) == 0 {
		return nil
	}
	left := make(map[string]string, len(f.out))
	for node, s := range f.out {
		n, _ := view.Find(node)
		if !now.Before(s.until) || n.Vital.Newer(s.vital) {
			delete(f.out, node)
			continue
		}
		left[node] = s.reason
	}
	return left
}

// observe notes what the agents tell of themselves, and ends the requests to those that
// are dead or gone.
func (f *flights) observe(view fleet.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hear(view)
	for node, all := range f.under {
		if n, ok := view.Find(node); ok && (n.Liveness == fleet.Alive || n.Liveness == fleet.LinkDown) {
			continue
		}
		for one := range all {
			one.cancel(errDead)
		}
	}
}
