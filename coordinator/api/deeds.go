package api

import (
	"io"
	"net/http"
	"net/url"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// deedRoutes are what a person does on the page: GET asks whether that is meant, and
// POST, by the form that it answers with, does it. They need no script, are the same
// commands as those below /v1, with the same audit, and are answered with pages.
func deedRoutes() []Route {
	table := []Route{
		{"GET", "/tasks/{id}/requeue", Operate, "", "The page that asks whether a dead task is to be requeued.", nil, nil, nil, (*API).askRequeue},
		{"POST", "/tasks/{id}/requeue", Operate, "task.requeue", "Requeue a dead task, by the form of the page.", nil, nil, nil, (*API).requeueByForm},
	}
	for _, d := range nodeDeeds {
		path := "/nodes/{name}/" + string(d.action)
		table = append(table,
			Route{"GET", path, Operate, "", "The page that asks whether to " + string(d.action) + " a node.", nil, nil, nil, d.ask},
			Route{"POST", path, Operate, "node." + string(d.action), "To " + string(d.action) + " a node, by the form of the page.", nil, nil, nil, d.do},
		)
	}
	return table
}

// A nodeDeed is what the page can do to a node, in words.
type nodeDeed struct {
	action       wire.Action
	title, means string // the question, before the node's name; what comes of it
	button       string
	command      func(name string) fsm.Command
}

// nodeDeeds are all of them. To revoke a node is for good, and for the command line.
var nodeDeeds = []nodeDeed{
	{
		wire.Approve, "Approve", "It takes part from then on: it gets work, and its certificate is accepted everywhere. Approve only what you joined yourself.", "Approve",
		func(name string) fsm.Command { return fsm.NodeApprove{Name: name} },
	},
	{
		wire.Drain, "Drain", "It finishes what it is doing and gets no new work, until it is undrained. Do this before you work on it.", "Drain",
		func(name string) fsm.Command { return fsm.NodeDrain{Name: name} },
	},
	{
		wire.Undrain, "Undrain", "It gets work again.", "Undrain",
		func(name string) fsm.Command { return fsm.NodeUndrain{Name: name} },
	},
}

func (d nodeDeed) ask(a *API, w http.ResponseWriter, r *call) error {
	name := r.PathValue("name")
	s := a.readStale(w)
	n, ok := s.Nodes[name]
	if !ok {
		return noNode(name)
	}
	return a.confirmPage(w, r, status.Deed{
		Title: d.title + " " + name + "?", Now: string(n.Role) + " " + name + " is " + string(n.State) + " now.", Means: d.means,
		Button: d.button, Path: "/nodes/" + url.PathEscape(name) + "/" + string(d.action), Back: "/nodes/" + url.PathEscape(name),
	})
}

func (d nodeDeed) do(a *API, w http.ResponseWriter, r *call) error {
	name := r.PathValue("name")
	if !fleet.ValidName(name) {
		return noNode(name)
	}
	var n fsm.Node
	if err := a.propose(r, d.command(name), &n); err != nil {
		return err
	}
	http.Redirect(w, r.Request, "/nodes/"+url.PathEscape(name), http.StatusSeeOther)
	return nil
}

func (a *API) askRequeue(w http.ResponseWriter, r *call) error {
	id := r.PathValue("id")
	t, ok := a.readStale(w).Tasks.Get(id)
	if !ok {
		return fsm.NoTask(id)
	}
	now := "The task is " + string(t.State) + "."
	if t.Error != "" {
		now += " Its last error: " + t.Error
	}
	return a.confirmPage(w, r, status.Deed{
		Title: "Requeue task " + id + "?", Now: now, Means: "It gets all its attempts again. If the cause is not gone, it will end here once more.",
		Button: "Requeue", Path: "/tasks/" + url.PathEscape(id) + "/requeue", Back: "/#tasks",
	})
}

func (a *API) requeueByForm(w http.ResponseWriter, r *call) error {
	id := r.PathValue("id")
	if !task.ValidID(id) {
		return fsm.NoTask(id)
	}
	ctx, cancel := bounded(r)
	defer cancel()
	if _, err := a.cfg.Tasks.Do(ctx, fsm.TaskOp{Actor: r.who.Actor, Requeue: &fsm.TaskRequeue{ID: id, Most: a.cfg.MostTasks, MostBytes: a.cfg.MostBytes}}); err != nil {
		return err
	}
	http.Redirect(w, r.Request, "/#tasks", http.StatusSeeOther)
	return nil
}

// confirmPage asks. Without a quorum it says so at once, and not after the click.
func (a *API) confirmPage(w http.ResponseWriter, r *call, d status.Deed) error {
	if a.cfg.Standing().Leader == "" {
		return problem.New(problem.NoQuorum, "Start the coordinators that are down, or mend the network between them; then try again.",
			"No coordinator leads, as %s sees it, so nothing can be changed now.", a.cfg.Self)
	}
	d.Reader = reader(r.who)
	return status.Show(w, r.Request, http.StatusOK, func(b io.Writer) error { return status.RenderDeed(b, d) })
}
