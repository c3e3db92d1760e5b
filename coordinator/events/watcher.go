package events

import (
	"context"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A Standing is how the raft group looks from here.
type Standing struct {
	Leader string // empty if none is known
	Quorum bool   // decisions can be made
}

// look is how often the standing of the group is read. It is shorter than an
// election takes (profile lan: 300 ms and up).
const look = 250 * time.Millisecond

// rest is how long it does not look again: a busy queue changes the state a
// thousand times a second, and few of the changes are told of.
const rest = 20 * time.Millisecond

// A Watcher turns what it sees change into events. It is a part.
type Watcher struct {
	Self  string // name of this coordinator, of which it does not speak
	Log   *Log
	State func() (fsm.State, <-chan struct{})
	Views *watch.Value[fleet.View]
	Group func() Standing

	seen uint64 // decisions, by their number
	own  uint64 // events made here
	view fleet.View
	was  Standing
	lost time.Time // when the quorum was; zero while there is one
	told bool      // that it is lost
}

func (w *Watcher) String() string { return "event watcher" }

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	state, decided := w.State()
	w.decisions(state)
	view, moved := w.Views.Load()
	w.liveness(view)
	for {
		w.group(w.Group())
		if !run.Sleep(ctx, rest) {
			return nil
		}
		select {
		case <-decided:
			state, decided = w.State()
			w.decisions(state)
		case <-moved:
			view, moved = w.Views.Load()
			w.liveness(view)
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// decisions takes over the audit records that are new.
func (w *Watcher) decisions(s fsm.State) {
	var out []wire.Event
	for _, e := range s.EventsAfter(w.seen, fsm.MaxEvents) {
		w.seen = e.Seq
		out = append(out, wire.Event{
			ID: wire.EventID(e.At, 'a', e.Seq), At: e.At, Code: string(e.Kind), Severity: string(e.Severity),
			Node: subjectNode(s, e.Subject), Actor: e.Actor, Detail: e.Detail,
		})
	}
	w.Log.Add(out...)
}

// subjectNode is the subject if it is a node; codes and tokens are named in the detail.
func subjectNode(s fsm.State, subject string) string {
	if _, ok := s.Nodes[subject]; ok {
		return subject
	}
	return ""
}

// liveness compares how the nodes were with how they are.
func (w *Watcher) liveness(view fleet.View) {
	for _, n := range view {
		old, known := w.view.Find(n.Name)
		if n.Name == w.Self || known && old.Liveness == n.Liveness {
			continue
		}
		w.add(transition(old, n, known))
	}
	for _, old := range w.view {
		if _, there := view.Find(old.Name); !there && old.Name != w.Self && old.Liveness == fleet.Alive {
			w.add(transition(old, fleet.Node{Member: old.Member, Liveness: fleet.Left}, true))
		}
	}
	w.view = view
}

// group compares how the raft group was with how it is.
func (w *Watcher) group(now Standing) {
	if now.Leader != "" && now.Leader != w.was.Leader {
		w.add(wire.Event{Code: "leader.changed", Severity: Info, Node: now.Leader, Detail: now.Leader + " leads the coordinators."})
		w.was.Leader = now.Leader
	}
	switch {
	case now.Quorum && w.told:
		w.add(wire.Event{
			Code: "quorum.back", Severity: Info,
			Detail: "The coordinators have a quorum again, after " + span(time.Since(w.lost)) + ".",
		})
		w.told = false
	case !now.Quorum && w.was.Quorum:
		w.lost = time.Now()
	case !now.Quorum && !w.told && !w.lost.IsZero() && time.Since(w.lost) >= election:
		w.told = true
		w.add(wire.Event{
			Code: "quorum.lost", Severity: Error,
			Detail: "Most coordinators cannot be reached: nothing can be decided. Inference goes on.",
			Remedy: "Start the coordinators that are down, or mend the network between them.",
		})
	}
	w.was.Quorum = now.Quorum
}

// election is how long a quorum must be lost before that is more than a change
// of the leader.
const election = 3 * time.Second

func (w *Watcher) add(e wire.Event) {
	w.own++
	e.At = time.Now().UTC()
	e.ID = wire.EventID(e.At, 'l', w.own)
	w.Log.Add(e)
}
