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
}

// A flight is one request under way.
type flight struct{ cancel context.CancelCauseFunc }

// A suspicion is why an agent is left out, and what it had last said of itself.
type suspicion struct {
	reason string
	until  time.Time
	vital  fleet.Vital
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

// observe ends the requests to agents that are dead or gone.
func (f *flights) observe(view fleet.View) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for node, all := range f.under {
		if n, ok := view.Find(node); ok && (n.Liveness == fleet.Alive || n.Liveness == fleet.LinkDown) {
			continue
		}
		for one := range all {
			one.cancel(errDead)
		}
	}
}
