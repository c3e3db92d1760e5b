// Package liveness tells which nodes live, as one coordinator sees it: by their
// heartbeats and by gossip, which are two witnesses of different kinds.
//
// Each coordinator judges for itself, whoever leads and whether anybody does.
// What it concludes chooses where requests go and lets the leader end a dead
// node's leases; nothing of it is agreed on or written down.
//
// A node's own word, that it lives, how it fares and where it is reached, counts
// only as it came over mutual TLS with its certificate. Gossip is believed about
// nodes that have not connected yet, for some seconds, and helps to tell a dead
// node from a broken link.
package liveness

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/heartbeat"
	"primespark/shared/mesh"
	"primespark/shared/watch"
)

// Times of the judgement.
const (
	beats    = 3                      // that may be missing until a node is quiet
	askEarly = 600 * time.Millisecond // before the limit it is asked by gossip
	grace    = 10 * time.Second       // for a node that was never heard to connect
	refresh  = 5 * time.Second        // between two views of which only the ages differ
	deafFor  = 10 * time.Second       // that silence of all counts as this coordinator's own
	mostLate = 3 * time.Second        // that a node's late timers excuse
	maxHeard = 2048

	remembered = 24 * time.Hour // that a node was heard
)

// Config is what a Watch works with.
type Config struct {
	Self   string
	Gossip *watch.Value[fleet.View]
	// Ping asks a node by gossip whether it is there. It takes as long as gossip
	// waits for an answer.
	Ping func(node string) error
	Log  *slog.Logger
}

// A Watch watches over the nodes. It is a part; its other methods are safe to
// share, and answer from the start.
type Watch struct {
	cfg  Config
	view *watch.Value[fleet.View]
	kick chan struct{} // 1 deep

	mu     sync.Mutex
	pace   time.Duration // how often nodes are asked to beat
	clock  clock
	heard  map[string]*heard
	asked  map[string]*asked
	judged map[string]verdict
	first  map[string]time.Duration // when a node that was never heard was first known of
	dead   map[string]time.Duration // since when, by the clock of time awake
	stored time.Time
	looked time.Time  // when it was last judged
	spare  fleet.View // memory for the next view
}

// A verdict is what was concluded about a node, and when.
type verdict struct {
	is    fleet.Liveness
	since time.Time
}

// New returns a Watch. Until Run runs it shows what gossip knows.
func New(cfg Config) *Watch {
	return &Watch{
		cfg: cfg, view: watch.New(cfg.Gossip.Get()), pace: heartbeat.PaceFor(0), kick: make(chan struct{}, 1),
		heard: map[string]*heard{}, asked: map[string]*asked{}, judged: map[string]verdict{},
		first: map[string]time.Duration{}, dead: map[string]time.Duration{},
	}
}

func (*Watch) String() string { return "liveness" }

// View is the fleet by both witnesses.
func (w *Watch) View() *watch.Value[fleet.View] { return w.view }

// Hears are the nodes whose beats come in here now, sorted, for the other
// coordinators.
func (w *Watch) Hears() heartbeat.Names {
	w.mu.Lock()
	defer w.mu.Unlock()
	names := heartbeat.Names{}
	for name, h := range w.heard {
		// A little stricter than the verdict, so that all of them agree in time.
		if h.at > 0 && h.session != nil && !h.left && w.clock.awake-h.at < w.limit(h)*3/4 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Dead are the nodes that both witnesses hold for dead, and for how long.
func (w *Watch) Dead() map[string]time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]time.Duration, len(w.dead))
	for name, since := range w.dead {
		all[name] = w.clock.awake - since
	}
	return all
}

// Keys are the gossip keys that each node says it holds, of those that are heard.
func (w *Watch) Keys() map[string]heartbeat.Keys {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]heartbeat.Keys{}
	for name, h := range w.heard {
		if w.fresh(h) {
			all[name] = heartbeat.Keys{}
			if h.keys != nil {
				all[name] = *h.keys
			}
		}
	}
	return all
}

// Mesh is what each node sees of the mesh, of those that are heard and take part.
func (w *Watch) Mesh() map[string]mesh.Report {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]mesh.Report{}
	for name, h := range w.heard {
		if h.mesh != nil && w.fresh(h) {
			all[name] = *h.mesh
		}
	}
	return all
}

// Run judges until ctx ends: on every look, and at once when a connection ends.
func (w *Watch) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		gossip, changed := w.cfg.Gossip.Load()
		for _, name := range w.judge(gossip, time.Now()) {
			asking.Go(func() { w.answered(name, w.cfg.Ping(name)) })
		}
		select {
		case <-tick.C:
		case <-w.kick:
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// wake has Run look at once.
func (w *Watch) wake() {
	select {
	case w.kick <- struct{}{}:
	default: // it will anyway
	}
}

// manyNodes are so many that something is new all the time. All of them are
// judged each manyPause then, whatever happens between: they beat no more often
// than once a second.
const (
	manyNodes = 64
	manyPause = 250 * time.Millisecond
)

// judge concludes on every node, publishes the view if that is news, and returns
// the nodes that are to be asked by gossip.
func (w *Watch) judge(gossip fleet.View, now time.Time) (ask []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.clock.tick(now)
	if n := max(len(gossip), len(w.heard)); n > manyNodes && now.Sub(w.looked) < manyPause {
		return nil
	}
	w.looked = now
	around := w.around()
	view := w.spare[:0]
	known := make(map[string]bool, len(gossip))
	for _, n := range gossip {
		known[n.Name] = true
		view = append(view, w.conclude(n, around, now))
	}
	for name, h := range w.heard {
		if !known[name] && h.member != nil {
			view = append(view, w.conclude(fleet.Node{Member: *h.member}, around, now))
			known[name] = true
		}
	}
	byName := func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(view, byName) {
		slices.SortFunc(view, byName)
	}
	ask = w.questions()
	w.forget(known)
	w.pace = heartbeat.PaceFor(len(w.heard))
	w.spare = view
	if old := w.view.Get(); now.Sub(w.stored) >= refresh || !same(old, view) {
		w.stored, w.spare = now, nil
		w.view.Store(view)
	}
	return ask
}

// conclude is one node as both witnesses see it. n is what gossip knows of it.
func (w *Watch) conclude(n fleet.Node, around surroundings, now time.Time) fleet.Node {
	if n.Name == w.cfg.Self {
		return n
	}
	h := w.heard[n.Name]
	if h == nil && n.Role == fleet.Coordinator && n.API == "" {
		return n // it has no heartbeat
	}
	is := Judge(w.evidence(n.Name, n.Liveness, h, around))
	old, known := w.judged[n.Name]
	if !known || old.is != is {
		since := now
		if !known && is == n.Liveness {
			since = n.Since
		}
		w.judged[n.Name] = verdict{is, since.UTC()}
		w.tell(n.Name, old.is, is)
	}
	n.Liveness, n.Since = is, w.judged[n.Name].since
	if h != nil && h.at > 0 { // its own word
		n.LastSeen = h.seen.UTC()
		if h.member != nil {
			n.Member = *h.member
		}
		n.Vital = fleet.Vital{Node: n.Name}
		if h.vital != nil {
			n.Vital = *h.vital
		}
	}
	return n
}

// tell keeps the list of the dead, and logs.
func (w *Watch) tell(name string, was, is fleet.Liveness) {
	delete(w.dead, name)
	switch {
	case is == fleet.Dead:
		w.dead[name] = w.clock.awake
		w.cfg.Log.Warn("node dead: no heartbeat, and no answer to gossip", "node", name)
	case is == fleet.LinkDown:
		w.cfg.Log.Warn("link down: the node is not heard here", "node", name)
	case is == fleet.Alive && was != "":
		w.cfg.Log.Info("node alive", "node", name)
	}
}

// surroundings are what is the same for all nodes in one look.
type surroundings struct {
	deaf  bool
	peers map[string]*heard // the coordinators that are heard here
}

func (w *Watch) around() surroundings {
	s := surroundings{w.deaf(), map[string]*heard{}}
	for name, h := range w.heard {
		if h.role == fleet.Coordinator && w.fresh(h) {
			s.peers[name] = h
		}
	}
	return s
}

func (w *Watch) evidence(name string, gossip fleet.Liveness, h *heard, around surroundings) Evidence {
	e := Evidence{Gossip: gossip, Deaf: around.deaf}
	if h != nil && h.at > 0 {
		e.Heard, e.Left, e.Closed = true, h.left, h.session == nil
		e.Quiet, e.Limit, e.Late = w.clock.awake-h.at, w.limit(h), excused(h)
		if e.Closed {
			e.Ended = w.clock.awake - h.ended
		}
	} else {
		if _, known := w.first[name]; !known {
			w.first[name] = w.clock.awake
		}
		e.Young = w.clock.awake-w.first[name] < grace
	}
	if a := w.asked[name]; a != nil {
		e.Answered, e.Missed = a.answered, a.missed
	}
	for other, peer := range around.peers {
		if other == name {
			continue
		}
		e.Peers = e.Peers || peer.hears[name]
		if since, dropped := peer.dropped[name]; dropped && (e.Lost == 0 || w.clock.awake-since < e.Lost) {
			e.Lost = w.clock.awake - since
		}
	}
	if e.Peers {
		e.Lost = 0
	}
	return e
}

// limit is how long a node may be quiet: it goes on at the pace that it was told
// until it hears another one. One that says that its own timers are late has more
// time.
func (w *Watch) limit(h *heard) time.Duration {
	return beats*max(w.pace, h.told) + excused(h)
}

func excused(h *heard) time.Duration { return min(2*h.late, mostLate) }

// fresh reports whether a node is heard now.
func (w *Watch) fresh(h *heard) bool {
	return h.at > 0 && h.session != nil && !h.left && w.clock.awake-h.at < w.limit(h)
}

// deaf reports whether it is this coordinator that hears nobody any more, rather
// than that everybody died at once: several nodes fell silent together, none by
// the end of its connection, and nobody is heard. That is believed for a while. A
// node counts as silent sooner here, since they do not beat in step.
func (w *Watch) deaf() bool {
	quiet := 0
	for _, h := range w.heard {
		switch {
		case h.at == 0 || h.left:
		case w.clock.awake-h.at < w.limit(h)/2 && h.session != nil:
			return false
		case w.clock.awake-h.at < deafFor && h.session == nil && h.ended-h.at < w.limit(h):
			return false // the end of its connection was heard
		case w.clock.awake-h.at < deafFor:
			quiet++
		}
	}
	return quiet >= 2
}

// forget drops what is kept of nodes that nobody knows any more.
func (w *Watch) forget(known map[string]bool) {
	for name := range w.judged {
		if !known[name] {
			delete(w.judged, name)
			delete(w.dead, name)
			delete(w.asked, name)
		}
	}
	for name, h := range w.heard {
		if h.session == nil && w.clock.awake-h.at > remembered {
			delete(w.heard, name)
			delete(w.asked, name)
		}
	}
	for name := range w.first { // their grace comes once
		if len(w.first) > 2*maxHeard && !known[name] {
			delete(w.first, name)
		}
	}
}

// same reports whether two views differ in their ages at most.
func same(a, b fleet.View) bool {
	return slices.EqualFunc(a, b, func(x, y fleet.Node) bool {
		x.LastSeen, y.LastSeen = time.Time{}, time.Time{}
		if x.Name == y.Name && x.Liveness == y.Liveness && x.Member == y.Member && x.Vital.Boot == y.Vital.Boot && x.Vital.Seq == y.Vital.Seq {
			return x.Since.Equal(y.Since) && (x.Vital.Seq != 0 || reflect.DeepEqual(x.Vital, y.Vital))
		}
		return false
	})
}
