package api

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Bounds of the long poll for the plan.
const (
	longestWait = time.Minute
	maxPolls    = 4                      // of one node at a time
	planPause   = 500 * time.Millisecond // between two looks at a state that keeps changing
	planLook    = time.Second            // between two looks at whether this coordinator is still in the group
	planSilence = 3 * time.Second        // without a word from the leader, after which another coordinator knows more
)

// renew gives the node that asks a certificate for a fresh key.
func (a *API) renew(w http.ResponseWriter, r *call) error {
	var in identity.RenewRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	ctx, cancel := bounded(r)
	defer cancel()
	out, err := a.cfg.Enroller.Renew(ctx, id, identity.KeyHash(r.TLS.PeerCertificates[0]), in)
	if err != nil {
		return err
	}
	return answer(w, out)
}

// plan tells a node what was decided about it and whom it must not trust, as soon
// as that is news to it. The first look is linearizable, and the poll ends when
// this coordinator loses the group: a node never waits here for a revocation that
// the others know of.
func (a *API) plan(w http.ResponseWriter, r *call) error {
	since, wait, err := planQuery(r)
	if err != nil {
		return err
	}
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	leave, err := a.polls.enter(id.Name)
	if err != nil {
		return err
	}
	defer leave()
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the wait is bounded here; where there are no deadlines, none can pass
	_ = out.SetWriteDeadline(time.Now().Add(wait + 2*patience))
	if err := a.catchUp(r); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	if err := a.awaitPlan(ctx, since); err != nil || r.Context().Err() != nil {
		return err
	}
	return a.tellPlan(w, id.Name)
}

// catchUp waits until all is known here that was acknowledged before.
func (a *API) catchUp(r *call) error {
	ctx, cancel := bounded(r)
	defer cancel()
	_, err := a.cfg.Group.Read(ctx)
	return err
}

// awaitPlan waits for a plan that is newer than an index. When ctx ends, the present
// one will do; not when this coordinator stops, or whoever follows would ask it again
// and again until it has. As many wait as there are nodes, so no state is held here,
// which is large, and would be on each of their stacks.
func (a *API) awaitPlan(ctx context.Context, since uint64) error {
	for {
		at, changed := a.planIndex()
		if at > since {
			return nil
		}
		if over, err := a.nextState(ctx, changed); over || err != nil {
			return err
		}
	}
}

// planIndex is since which index some node's plan is what it is, and what closes at
// the next state.
func (a *API) planIndex() (at uint64, changed <-chan struct{}) {
	s, changed := a.cfg.Group.State()
	return a.roster.changed(s), changed
}

// nextState waits for another state, and reports whether ctx ended before.
func (a *API) nextState(ctx context.Context, changed <-chan struct{}) (over bool, err error) {
	look := time.NewTicker(planLook)
	defer look.Stop()
	for {
		select {
		case <-changed:
			pause := time.NewTimer(planPause)
			defer pause.Stop()
			select {
			case <-pause.C:
				return false, nil
			case <-a.stopped:
				return false, stopping()
			case <-ctx.Done():
				return true, nil
			}
		case <-look.C:
			if g := a.cfg.Standing(); g.Leader == "" || g.Role != wire.RoleLeader && (g.LastContact < 0 || g.LastContact > planSilence) {
				return false, problem.New(problem.NoQuorum, "Ask another coordinator.", "This coordinator has lost the group.")
			}
		case <-a.stopped:
			return false, stopping()
		case <-ctx.Done():
			return true, nil
		}
	}
}

// tellPlan answers with the present plan of a node, and the gossip keys.
func (a *API) tellPlan(w http.ResponseWriter, node string) error {
	s, _ := a.cfg.Group.State()
	b := a.roster.plan(s, node)
	if s.Nodes[node].Active() && a.cfg.GossipKeys != nil {
		ring, err := a.cfg.GossipKeys(s)
		if err != nil {
			return err
		}
		b.GossipKeys = &ring
	}
	w.Header().Set(wire.HeaderIndex, strconv.FormatUint(b.Index, 10))
	return answer(w, b)
}

func planQuery(r *call) (since uint64, wait time.Duration, err error) {
	q := r.URL.Query()
	if text := q.Get("index"); text != "" {
		if since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, 0, problem.New(problem.Invalid, "Give the index of the last answer.", "The index is %.32q.", text)
		}
	}
	if text := q.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 || wait > longestWait {
			return 0, 0, problem.New(problem.Invalid, "Give a duration up to 60s.", "The wait is %.32q.", text)
		}
	}
	return since, wait, nil
}

// A roster is what plans are made of, as of the newest state that was looked at,
// and since which index it is so. The state changes all the time; this seldom.
type roster struct {
	mu     sync.Mutex
	state  fsm.State
	since  uint64
	deny   map[string]time.Time
	others []wire.PlanCoordinator
	fleet  int
	models []fsm.Model
}

// changed returns since which index some node's plan is as it is in a state, or in
// a newer one.
func (o *roster) changed(s fsm.State) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.update(s)
	return o.since
}

// plan returns a node's plan of a state, or of a newer one.
func (o *roster) plan(s fsm.State, node string) wire.PlanBody {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.update(s)
	b := wire.PlanBody{
		Index: o.state.Index, State: string(o.state.Nodes[node].State), Deny: o.deny, Coordinators: o.others, Fleet: o.fleet, Models: []wire.PlanModel{},
	}
	for _, m := range o.models {
		if m.For(node) {
			b.Models = append(b.Models, wire.PlanModel{Name: m.Name, Version: m.Version, Bill: m.Bill})
		}
	}
	return b
}

// update looks at a state. One that is older than one that was seen changes nothing.
// It wants the lock held.
func (o *roster) update(s fsm.State) {
	if o.deny != nil && s.Index <= o.state.Index {
		return
	}
	old := o.state
	o.state = s
	// Maps are copied before a write, so one that is the same holds the same.
	gossip := old.Gossip.Primary != s.Gossip.Primary || !slices.Equal(old.Gossip.Held, s.Gossip.Held)
	models := !same(old.Models, s.Models)
	if o.deny != nil && !gossip && !models && same(old.Nodes, s.Nodes) && same(old.Denied, s.Denied) {
		return
	}
	deny, others := maps.Clone(s.Denied), []wire.PlanCoordinator{}
	if deny == nil {
		deny = map[string]time.Time{}
	}
	for _, n := range s.Coordinators() {
		others = append(others, wire.PlanCoordinator{Name: n.Name, API: n.Addresses.API, Gossip: n.Addresses.Gossip})
	}
	if o.deny == nil || gossip || models || !maps.Equal(deny, o.deny) || !slices.Equal(others, o.others) || !maps.EqualFunc(old.Nodes, s.Nodes, func(a, b fsm.Node) bool { return a.State == b.State }) {
		o.deny, o.others, o.fleet, o.models, o.since = deny, others, s.Active(), s.ModelList(), s.Index
	}
}

func same[K comparable, V any](a, b map[K]V) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

// polls counts the requests of each node that wait.
type polls struct {
	mu   sync.Mutex
	open map[string]int
}

// enter counts a request in, or refuses it. leave counts it out again.
func (p *polls) enter(node string) (leave func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = map[string]int{}
	}
	if p.open[node] >= maxPolls {
		return nil, &problem.Error{
			Code: problem.Busy, RetryAfter: 10 * time.Second,
			Detail: "This node waits for its plan several times already.", Remedy: "Wait for one answer.",
		}
	}
	p.open[node]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.open[node]--; p.open[node] == 0 {
			delete(p.open, node)
		}
	}, nil
}

// ending reports whether the caller's certificate is in the last sixth of its
// life. The caller has another one by then; a connection that lasts would not
// show it, and be refused in the middle.
func ending(cs *tls.ConnectionState, now time.Time) bool {
	if cs == nil || len(cs.PeerCertificates) == 0 {
		return false
	}
	c := cs.PeerCertificates[0]
	return c.NotAfter.Sub(now) < c.NotAfter.Sub(c.NotBefore)/6
}
