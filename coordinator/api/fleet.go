package api

import (
	"net/http"
	"slices"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/version"
	"primespark/shared/wire"
)

// read returns the state that a call may see: the newest one that was
// acknowledged, or with ?stale=1 what is known here. It labels the answer.
func (a *API) read(w http.ResponseWriter, r *call) (fsm.State, error) {
	if r.URL.Query().Get("stale") == "1" {
		return a.readStale(w), nil
	}
	ctx, cancel := bounded(r)
	defer cancel()
	s, err := a.cfg.Group.Read(ctx)
	if err != nil {
		return s, err
	}
	label(w, s)
	return s, nil
}

func (a *API) readStale(w http.ResponseWriter) fsm.State {
	s, _ := a.cfg.Group.State()
	label(w, s)
	w.Header().Set(wire.HeaderStale, "1")
	if a.removed() {
		w.Header().Set(wire.HeaderReason, "removed")
	}
	return s
}

// removed reports whether the others count this coordinator no more: what it knows
// will never be newer.
func (a *API) removed() bool {
	return slices.ContainsFunc(a.cfg.Health(), func(c health.Condition) bool { return c.Code == health.Removed })
}

// picture shows the fleet with a state that was read.
func (a *API) picture(s fsm.State, now time.Time) picture {
	p := picture{self: a.cfg.Self, state: s, view: a.cfg.Views.Get(), standing: a.cfg.Standing(), removed: a.removed()}
	if p.standing.Leader != "" {
		a.leaderless.Store(nil)
		return p
	}
	a.leaderless.CompareAndSwap(nil, &now)
	if since := a.leaderless.Load(); since != nil {
		p.leaderless = now.Sub(*since)
	}
	return p
}

// A checksum is kept because it costs a millisecond and is asked for often.
type checksum struct {
	index uint64
	text  string
}

func (a *API) checksum(s fsm.State) string {
	if c := a.sum.Load(); c != nil && c.index == s.Index {
		return c.text
	}
	c := &checksum{s.Index, s.Checksum()}
	a.sum.Store(c)
	return c.text
}

func (a *API) status(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		// That there is no quorum is what the caller wants to be told.
		switch problem.Of(err).Code {
		case problem.NoLeader, problem.NoQuorum, problem.NotReady, problem.Deadline:
			s = a.readStale(w)
		default:
			return err
		}
	}
	b := a.picture(s, time.Now()).status()
	b.StateChecksum = a.checksum(s)
	return answer(w, b)
}

func (a *API) nodes(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	return answer(w, wire.NodesBody{Nodes: a.picture(s, time.Now()).nodes()})
}

func (a *API) node(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	n, ok := s.Nodes[r.PathValue("name")]
	if !ok {
		return noNode(r.PathValue("name"))
	}
	return answer(w, a.picture(s, time.Now()).node(n))
}

func noNode(name string) error {
	return problem.New(problem.NotFound, "List them: prime-spark nodes.", "There is no node %.64q.", name)
}

// action makes the handler of what an operator does to a node.
func action(what wire.Action) func(*API, http.ResponseWriter, *call) error {
	return func(a *API, w http.ResponseWriter, r *call) error {
		name := r.PathValue("name")
		if !fleet.ValidName(name) {
			return noNode(name)
		}
		if err := empty(r); err != nil {
			return err
		}
		known, _ := a.cfg.Group.State()
		if what == wire.Revoke && r.who.Role != Admin {
			// One that lags may not know yet that the node is a coordinator.
			ctx, cancel := bounded(r)
			newest, err := a.cfg.Group.Read(ctx)
			cancel()
			if err != nil {
				return err
			}
			known = newest
		}
		if what == wire.Revoke && known.Nodes[name].Role == fleet.Coordinator {
			if err := adminOnly(r.who, "revoke a coordinator"); err != nil {
				return err
			}
		}
		if what == wire.Revoke && known.Nodes[name].Role == fleet.Coordinator && known.Nodes[name].State != fsm.Revoked {
			if err := a.depart(r, name); err != nil {
				return err
			}
		}
		command := map[wire.Action]fsm.Command{
			wire.Approve: fsm.NodeApprove{Name: name}, wire.Drain: fsm.NodeDrain{Name: name},
			wire.Undrain: fsm.NodeUndrain{Name: name}, wire.Revoke: fsm.NodeRevoke{Name: name},
		}[what]
		var n fsm.Node
		if err := a.propose(r, command, &n); err != nil {
			if what != wire.Revoke || name != a.cfg.Self || !a.cfg.Members.Shunned(r.Context()) {
				return err
			}
			// The others carried it out, and told this coordinator no more.
			n = known.Nodes[name]
			n.State = fsm.Revoked
		}
		s, _ := a.cfg.Group.State()
		return answer(w, a.picture(s, time.Now()).node(n))
	}
}

// depart has the group do without a coordinator, or says why it cannot.
func (a *API) depart(r *call, name string) error {
	ctx, cancel := bounded(r)
	defer cancel()
	return a.cfg.Members.Depart(ctx, name, r.URL.Query().Get("force") == "1")
}

// sheet is what the page shows.
func (a *API) sheet(now time.Time) *status.Sheet {
	s, _ := a.cfg.Group.State()
	p := a.picture(s, now)
	v := status.View{Self: a.cfg.Self, At: now.UTC(), Version: version.Number, Status: p.status(), Nodes: p.nodes()}
	v.Status.StateChecksum = a.checksum(s)
	for i, state := range task.States {
		v.Queue.Counts[i] = s.Tasks.Count(state)
	}
	v.Queue.Dead = s.Tasks.After("", task.Dead, status.ShownDead)
	v.Events, _ = a.cfg.Events.Load()
	v.Alerts = openAlerts(s)
	if m := a.cfg.Atlas.View(s, a.cfg.Views.Get(), now); len(m.Nodes) > 0 {
		v.Mesh = &status.MeshView{Self: v.Self, At: v.At, Cluster: s.Cluster.Name, Mesh: m, Brief: true}
	}
	a.pulse.Note(&v)
	a.trends.Note(&v)
	return status.NewSheet(v)
}
