package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// Bounds of what is asked of all agents at once.
const (
	fanout     = 32                // agents at a time
	tellWithin = time.Second       // what an agent knows
	actWithin  = 330 * time.Second // loading a model: an agent's own 5 min, and then some
)

// A told is what one agent said.
type told struct {
	node string
	body []byte
	err  error
}

// everyAgent asks those that are there and belong here, or those of
// them that are named. What they say comes in their order by name.
func (a *API) everyAgent(r *call, body []byte, within time.Duration, names ...string) []told {
	state, _ := a.cfg.Group.State()
	var all []told
	for _, n := range a.cfg.Views.Get() {
		if reachable(n, state.Nodes[n.Name]) && (len(names) == 0 || slices.Contains(names, n.Name)) {
			all = append(all, told{node: n.Name})
		}
	}
	slices.SortFunc(all, func(a, b told) int { return cmp.Compare(a.node, b.node) })
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	in := r.WithContext(ctx)
	var group errgroup.Group
	group.SetLimit(fanout)
	for i := range all {
		group.Go(func() error {
			all[i].body, all[i].err = a.cfg.Gateway.At(in, all[i].node, body)
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	return all
}

// parse reads what an agent said, if it said something; what cannot be read is its error.
func parse[T any](t *told) (v T) {
	if t.err == nil {
		t.err = json.Unmarshal(t.body, &v)
	}
	return v
}

// reachable reports whether an agent may be asked about itself; it need not be
// ready, as what it is asked for may be what makes it so.
func reachable(n fleet.Node, decided fsm.Node) bool {
	return n.Role == fleet.Agent && n.Liveness == fleet.Alive && (decided.State == fsm.Approved || decided.State == fsm.Draining)
}

// missingAgents names those that gave no answer in a header.
func missingAgents(w http.ResponseWriter, all []told) {
	var names []string
	for _, t := range all {
		if t.err != nil && !problem.Is(t.err, problem.NotFound) {
			names = append(names, t.node)
		}
	}
	if len(names) > 0 {
		w.Header().Set(wire.HeaderMissing, strings.Join(names, ", "))
	}
}

// index lists the models of the agents, each with the agents that have it ready.
// Of agents that do not answer it lists what they last said by gossip.
func (a *API) index(w http.ResponseWriter, r *call) error {
	var want oip.IndexRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = oip.DecodeOptional(body, &want)
	}
	if err != nil {
		return err
	}
	rows := a.gossiped()
	if !want.Ready {
		all := a.everyAgent(r, nil, tellWithin)
		for i := range all {
			for _, s := range parse[[]model.Status](&all[i]) {
				rows = add(rows, all[i].node, s)
			}
		}
		missingAgents(w, all)
	}
	slices.SortFunc(rows, func(a, b wire.ModelRow) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return answer(w, rows)
}

// gossiped are the models that agents say they have ready.
func (a *API) gossiped() []wire.ModelRow {
	state, _ := a.cfg.Group.State()
	rows := []wire.ModelRow{}
	for _, n := range a.cfg.Views.Get() {
		if !usable(n, state.Nodes[n.Name]) {
			continue
		}
		for _, s := range n.Vital.Models {
			if s.Cold { // the agent's own index has the reason
				continue
			}
			rows = add(rows, n.Name, model.Status{Name: s.Name, Version: s.Version, State: model.Ready})
		}
	}
	return rows
}

// add notes the state of a model on a node. A row is ready if one node has it
// ready; otherwise the first one's reason stands, with its name.
func add(rows []wire.ModelRow, node string, s model.Status) []wire.ModelRow {
	i := slices.IndexFunc(rows, func(row wire.ModelRow) bool { return row.Name == s.Name && row.Version == s.Version })
	if i < 0 {
		i = len(rows)
		if s.State != model.Ready && s.Reason != "" {
			s.Reason = node + ": " + s.Reason
		}
		rows = append(rows, wire.ModelRow{Status: s, Nodes: []string{}})
	}
	if s.State != model.Ready || slices.Contains(rows[i].Nodes, node) {
		return rows
	}
	rows[i].State, rows[i].Reason = model.Ready, ""
	rows[i].Nodes = append(rows[i].Nodes, node)
	return rows
}

// controlled is the answer to a load or unload: the agents that did it.
type controlled struct {
	Nodes []string `json:"nodes"`
}

// control returns the action that has agents load or unload a model.
func control(verb string) func(*API, http.ResponseWriter, *call) error {
	return func(a *API, w http.ResponseWriter, r *call) error {
		name := r.PathValue("model")
		if !model.ValidName(name) {
			return noModel(name)
		}
		var ask oip.LoadRequest
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = oip.DecodeOptional(body, &ask)
		}
		if err == nil {
			err = ask.Refuse()
		}
		if err != nil {
			return err
		}
		var only []string
		if v, ok := ask.Parameters["node"]; ok {
			only = []string{fmt.Sprint(v)}
		}
		patient(w, actWithin)
		return controlAnswer(w, name, verb, only, a.everyAgent(r, body, actWithin, only...))
	}
}

func controlAnswer(w http.ResponseWriter, name, verb string, only []string, all []told) error {
	done := controlled{Nodes: []string{}}
	var failed *problem.Error
	for _, t := range all {
		switch {
		case t.err == nil:
			done.Nodes = append(done.Nodes, t.node)
		case problem.Is(t.err, problem.NotFound) && len(only) == 0: // it is not in its store
		case failed == nil:
			e := *problem.Of(t.err)
			e.Detail = t.node + ": " + e.Detail
			failed = &e
		}
	}
	switch {
	case len(all) == 0 && len(only) > 0:
		return problem.New(problem.NotFound, "prime-spark nodes lists them.", "There is no agent %.64q that answers.", only[0])
	case len(all) == 0:
		return noAgents()
	case failed != nil:
		if len(done.Nodes) > 0 {
			failed.Detail += fmt.Sprintf(" (The %s succeeded on %s.)", verb, strings.Join(done.Nodes, ", "))
		}
		return failed
	case len(done.Nodes) == 0:
		return noModel(name)
	}
	return answer(w, done)
}

func noModel(name string) error {
	return problem.New(problem.NotFound, "prime-spark models lists the models that there are.", "No agent has the model %.64q.", name)
}

func noAgents() error {
	return &problem.Error{
		Code: problem.NoCapacity, Detail: "No agent answers.", RetryAfter: 2 * time.Second,
		Remedy: "Try again in a few seconds; prime-spark nodes shows how they fare.",
	}
}

// stats sums up what the agents counted.
func (a *API) stats(w http.ResponseWriter, r *call) error {
	name := r.PathValue("model")
	if name != "" && !model.ValidName(name) {
		return noModel(name)
	}
	all := a.everyAgent(r, nil, tellWithin)
	sum, answered := oip.Stats{Models: []oip.ModelStats{}}, 0
	for i := range all {
		own := parse[oip.Stats](&all[i])
		if all[i].err == nil {
			answered++
			sum.Add(own)
		}
	}
	missingAgents(w, all)
	switch {
	case answered > 0 || name == "" && len(all) == 0:
		return answer(w, sum)
	case len(all) == 0:
		return noAgents()
	}
	for _, t := range all {
		if !problem.Is(t.err, problem.NotFound) {
			return t.err
		}
	}
	return noModel(name)
}

// patient lets a handler that has read its body work for d, whatever the
// connection's own limits are.
func patient(w http.ResponseWriter, d time.Duration) {
	c := http.NewResponseController(w)
	// Where the connection has no deadlines, there is nothing to move.
	_ = c.SetReadDeadline(time.Now().Add(d + sendTimeout))
	_ = c.SetWriteDeadline(time.Now().Add(d + sendTimeout))
}
