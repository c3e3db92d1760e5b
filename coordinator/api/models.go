package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"primespark/coordinator/fsm"
	"primespark/shared/conf"
	"primespark/shared/fleet"
	"primespark/shared/model"
	"primespark/shared/modelpack"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// modelRoutes are the rows of the table about the models of the fleet.
func modelRoutes() []Route {
	return []Route{
		{"GET", wire.PathModels, View, "", "The models that the fleet was given and those that agents have of their own, and how each fares on each agent.", []Param{stale}, nil, wire.FleetModelsBody{}, (*API).fleetModels},
		{"POST", wire.PathModels, Operate, "model.put", "Give the fleet a model, or a newer package of one: its parts, and the bill that lists them, were handed in as objects before. prime-spark models add does it all.", nil, wire.ModelPut{}, wire.FleetModel{}, (*API).putModel},
		{"POST", wire.PathModels + "/{name}:remove", Operate, "model.remove", "Take a model out of the fleet; agents end what they answer with it, and delete it.", nil, nil, wire.FleetModel{}, (*API).removeModel},
	}
}

func (a *API) fleetModels(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	return answer(w, wire.FleetModelsBody{Models: fleetModels(s, a.cfg.Views.Get())})
}

// fleetModels puts together what was decided and what the agents tell.
func fleetModels(s fsm.State, view fleet.View) []wire.FleetModel {
	all := []wire.FleetModel{}
	for _, m := range s.ModelList() {
		all = append(all, described(m, s, view))
	}
	for _, n := range view {
		if !takesPart(n, s.Nodes[n.Name]) {
			continue
		}
		for _, v := range n.Vital.Models {
			i := slices.IndexFunc(all, func(m wire.FleetModel) bool { return m.Name == v.Name })
			if i < 0 {
				i = len(all)
				all = append(all, wire.FleetModel{Name: v.Name, Version: v.Version})
			}
			if !all[i].Fleet {
				all[i].On = append(all[i].On, onIt(n, v.Name))
			}
		}
	}
	slices.SortFunc(all, func(a, b wire.FleetModel) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// described is a model of the fleet, with each agent that is to serve it.
func described(m fsm.Model, s fsm.State, view fleet.View) wire.FleetModel {
	out := wire.FleetModel{
		Name: m.Name, Version: m.Version, Fleet: true, Size: m.Size, Engines: m.Engines, For: m.Nodes, Added: m.Added, By: m.By, On: []wire.ModelOnIt{},
	}
	for _, n := range view {
		if takesPart(n, s.Nodes[n.Name]) && m.For(n.Name) {
			out.On = append(out.On, onIt(n, m.Name))
		}
	}
	return out
}

func takesPart(n fleet.Node, decided fsm.Node) bool {
	return n.Role == fleet.Agent && n.Liveness == fleet.Alive && decided.Active()
}

// onIt is how a model fares on an agent, by the agent's own word.
func onIt(n fleet.Node, name string) wire.ModelOnIt {
	on := wire.ModelOnIt{Node: n.Name, State: wire.ModelWaiting}
	for _, note := range n.Vital.Notes {
		if note.Model == name {
			on.State, on.Detail = note.State, note.Detail
		}
	}
	for _, s := range n.Vital.Models {
		if s.Name != name {
			continue
		}
		on.Version, on.Backend, on.Millis = s.Version, s.Backend, s.Millis
		if on.State == wire.ModelWaiting { // otherwise an older package answers meanwhile
			on.State = wire.ModelReady
			if s.Cold {
				on.State = wire.ModelCold
			}
		}
	}
	return on
}

func (a *API) putModel(w http.ResponseWriter, r *call) error {
	var in wire.ModelPut
	if err := decode(r, &in); err != nil {
		return err
	}
	if err := a.knownAgents(in.For); err != nil {
		return err
	}
	bill, m, err := a.readPackage(r, in.Bill)
	if err != nil {
		return err
	}
	cmd := fsm.ModelPut{Name: bill.Name, Version: bill.Version, Bill: in.Bill, Objects: bill.Objects(), Size: bill.Size(), Nodes: in.For}
	for _, v := range m.Variants {
		if !slices.Contains(cmd.Engines, v.Engine) {
			cmd.Engines = append(cmd.Engines, v.Engine)
		}
	}
	for _, o := range append(cmd.Objects, in.Bill) { // on as many disks as it takes
		if err := a.confirm(r, o); err != nil {
			return err
		}
	}
	return a.changeModel(w, r, http.StatusCreated, cmd)
}

func (a *API) removeModel(w http.ResponseWriter, r *call) error {
	if err := empty(r); err != nil {
		return err
	}
	return a.changeModel(w, r, http.StatusOK, fsm.ModelDrop{Name: r.PathValue("name")})
}

func (a *API) changeModel(w http.ResponseWriter, r *call, code int, c fsm.Command) error {
	var m fsm.Model
	if err := a.propose(r, c, &m); err != nil {
		return err
	}
	s, _ := a.cfg.Group.State()
	return answerWith(w, code, described(m, s, a.cfg.Views.Get()))
}

// knownAgents refuses names that are of no agent, which would be slips.
func (a *API) knownAgents(names []string) error {
	s, _ := a.cfg.Group.State()
	var agents []string
	for _, n := range s.NodeList() {
		if n.Role == fleet.Agent && n.State != fsm.Revoked {
			agents = append(agents, n.Name)
		}
	}
	for _, name := range names {
		if slices.Contains(agents, name) {
			continue
		}
		remedy := "See prime-spark nodes, or name none for all agents."
		if near := conf.Nearest(name, agents); near != "" {
			remedy = "Did you mean " + near + "?"
		}
		return problem.New(problem.Invalid, remedy, "There is no agent %.64q.", name)
	}
	return nil
}

// readPackage reads the bill of a package and its manifest, and refuses what does
// not hold together: better here, once, than on each agent.
func (a *API) readPackage(r *call, o task.Object) (b modelpack.Bill, m model.Manifest, err error) {
	ctx, cancel := bounded(r)
	defer cancel()
	unfit := func(err error) error {
		return &problem.Error{
			Code: problem.Invalid, Err: err, Detail: "The package is refused: " + err.Error() + ".",
			Remedy: "Hand it in with prime-spark models add, which checks it first.",
		}
	}
	text, err := a.small(ctx, o, modelpack.MaxBill)
	if err != nil {
		return b, m, err
	}
	if b, err = modelpack.ParseBill(text); err != nil {
		return b, m, unfit(err)
	}
	if b.Files[0].Size > conf.MaxSize || len(b.Files[0].Parts) != 1 {
		return b, m, unfit(fmt.Errorf("its %s has %d bytes, and may have %d", model.ManifestFile, b.Files[0].Size, conf.MaxSize))
	}
	if text, err = a.small(ctx, b.Files[0].Parts[0], conf.MaxSize); err != nil {
		return b, m, err
	}
	if m, err = model.ParseManifest(text); err != nil {
		return b, m, unfit(err)
	}
	if err := b.Matches(m); err != nil {
		return b, m, unfit(err)
	}
	return b, m, nil
}

// small reads an object into memory.
func (a *API) small(ctx context.Context, o task.Object, most int64) ([]byte, error) {
	if !o.Valid() || o.Size > most {
		return nil, problem.New(problem.Invalid, "Give it as PUT /v1/objects answered.", "The object %.64q of %d bytes is no part of a package that is read here.", o.SHA256, o.Size)
	}
	f, _, err := a.cfg.Objects.Open(ctx, o.SHA256)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, fmt.Errorf("read object %.16s: %w", o.SHA256, err)
	}
	return b, o.Check(b)
}
