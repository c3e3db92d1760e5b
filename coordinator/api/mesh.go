package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"primespark/coordinator/fsm"
	"primespark/coordinator/status"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/version"
	"primespark/shared/wire"
)

// An Atlas has the map of the mesh.
type Atlas interface {
	// Mesh waits for a newer map, or other hints; the present ones when the wait is over.
	Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error)
	View(s fsm.State, living fleet.View, now time.Time) wire.MeshViewBody
	Client(s fsm.State, name string, c fsm.MeshClient) wire.MeshClientBody
}

// meshRoutes are the rows of the table about the mesh.
func meshRoutes() []Route {
	return []Route{
		{"GET", wire.PathMesh, View, "", "The signed map of the mesh: who takes part, with which keys and addresses. Beside it, where hubs see the nodes' packets come from.", []Param{{"version", "of the last answer: wait for a newer one"}, {"sum", "of the last answer's hints: or for other ones"}, {"wait", "at most so long, as in 60s"}}, nil, wire.MeshBody{}, (*API).mesh},
		{"GET", wire.PathMeshView, View, "", "How the mesh is: who reaches whom, by which hub, and how well, as the nodes say.", []Param{stale}, nil, wire.MeshViewBody{}, (*API).meshView},
		{"POST", wire.PathMeshAnnounce, Belong, "mesh.announce", "What the node whose certificate is shown has at its end of the mesh: all its present keys, and where it is reached.", nil, mesh.Announcement{}, wire.MeshVersion{}, (*API).announceMesh},
		{"POST", wire.PathMeshLeave, Belong, "mesh.leave", "Take that node out of the mesh.", nil, nil, wire.MeshVersion{}, (*API).leaveMesh},
		{"POST", wire.PathMeshRotate, Operate, "mesh.rotate", "Ask nodes of the mesh for new keys; all, if none is named. They follow by themselves and lose no packet.", nil, wire.MeshRotateRequest{}, wire.MeshRotateBody{}, (*API).rotateMesh},
		{"POST", wire.PathMeshClients, Operate, "mesh.admit", "Let a phone or a laptop into the mesh, by its public key, until a time.", nil, wire.MeshClientRequest{}, wire.MeshClientBody{}, (*API).admitToMesh},
		{"POST", wire.PathMeshClients + "/{name}:revoke", Operate, "mesh.expel", "Shut such a client out; its key never comes back.", nil, nil, wire.MeshVersion{}, (*API).expelFromMesh},
	}
}

// mesh hands out the map. The first look is linearizable, as for a plan.
func (a *API) mesh(w http.ResponseWriter, r *call) error {
	newest, sum, wait, err := meshQuery(r)
	if err != nil {
		return err
	}
	leave, err := a.polls.enter("mesh of " + r.who.Actor)
	if err != nil {
		return err
	}
	defer leave()
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{}) // the wait is bounded here; where there are no deadlines, none can pass
	_ = out.SetWriteDeadline(time.Now().Add(wait + 2*patience))
	ctx, cancel := bounded(r)
	_, err = a.cfg.Group.Read(ctx)
	cancel()
	if err != nil {
		return err
	}
	ctx, cancel = context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(a.open, cancel)()
	b, err := a.cfg.Atlas.Mesh(ctx, newest, sum, wait)
	if err != nil || r.Context().Err() != nil {
		return err
	}
	return answer(w, b)
}

func meshQuery(r *call) (newest uint64, sum string, wait time.Duration, err error) {
	q := r.URL.Query()
	if text := q.Get("version"); text != "" {
		if newest, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, "", 0, problem.New(problem.Invalid, "Give the version of the last answer.", "The version is %.32q.", text)
		}
	}
	if text := q.Get("wait"); text != "" {
		if wait, err = time.ParseDuration(text); err != nil || wait < 0 || wait > longestWait {
			return 0, "", 0, problem.New(problem.Invalid, "Give a duration up to 60s.", "The wait is %.32q.", text)
		}
	}
	return newest, q.Get("sum"), wait, nil
}

func (a *API) meshView(w http.ResponseWriter, r *call) error {
	s, err := a.read(w, r)
	if err != nil {
		return err
	}
	return answer(w, a.cfg.Atlas.View(s, a.cfg.Views.Get(), time.Now()))
}

func (a *API) announceMesh(w http.ResponseWriter, r *call) error {
	var in mesh.Announcement
	if err := decode(r, &in); err != nil {
		return err
	}
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	var out wire.MeshVersion
	if err := a.propose(r, fsm.MeshAnnounce{Name: id.Name, Keys: in.Keys, Site: in.Site, Endpoints: in.Endpoints, Hub: in.Hub, Host: in.Host}, &out.Version); err != nil {
		return err
	}
	return answer(w, out)
}

func (a *API) leaveMesh(w http.ResponseWriter, r *call) error {
	if err := empty(r); err != nil {
		return err
	}
	id, err := identity.Peer(r.TLS)
	if err != nil {
		return err // the permission asks for a certificate
	}
	var out wire.MeshVersion
	if err := a.propose(r, fsm.MeshLeave{Name: id.Name}, &out.Version); err != nil {
		return err
	}
	return answer(w, out)
}

func (a *API) rotateMesh(w http.ResponseWriter, r *call) error {
	var in wire.MeshRotateRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	out := wire.MeshRotateBody{Asked: []string{}}
	if err := a.propose(r, fsm.MeshRotate{Names: in.Nodes}, &out.Asked); err != nil {
		return err
	}
	return answer(w, out)
}

func (a *API) admitToMesh(w http.ResponseWriter, r *call) error {
	var in wire.MeshClientRequest
	if err := decode(r, &in); err != nil {
		return err
	}
	ttl, err := time.ParseDuration(in.TTL)
	if err != nil || ttl <= 0 {
		return problem.New(problem.Invalid, "Give a duration, as in 720h.", "The ttl is %.32q.", in.TTL)
	}
	var made fsm.MeshClient
	if err := a.propose(r, fsm.MeshAdmit{Name: in.Name, Public: in.Public, Expires: time.Now().Add(ttl).UTC()}, &made); err != nil {
		return err
	}
	s, _ := a.cfg.Group.State()
	return answerWith(w, http.StatusCreated, a.cfg.Atlas.Client(s, in.Name, made))
}

func (a *API) expelFromMesh(w http.ResponseWriter, r *call) error {
	if err := empty(r); err != nil {
		return err
	}
	var out wire.MeshVersion
	if err := a.propose(r, fsm.MeshExpel{Name: r.PathValue("name")}, &out.Version); err != nil {
		return err
	}
	return answer(w, out)
}

// showMesh shows the mesh as this coordinator knows it.
func (a *API) showMesh(w http.ResponseWriter, r *call) error {
	s := a.readStale(w)
	if s.Cluster.Name == "" {
		return blank()
	}
	now := time.Now()
	v := status.MeshView{Self: a.cfg.Self, At: now.UTC(), Version: version.Number, Cluster: s.Cluster.Name, Mesh: a.cfg.Atlas.View(s, a.cfg.Views.Get(), now)}
	return status.Show(w, r.Request, http.StatusOK, func(b io.Writer) error { return status.RenderMesh(b, v, reader(r.who)) })
}
