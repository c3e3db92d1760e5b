package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"primespark/coordinator/events"
	"primespark/coordinator/fsm"
	"primespark/coordinator/route"
	"primespark/shared/fleet"
	"primespark/shared/health"
	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// noon is when everything in the lab has happened.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A lab is an API on a cluster of three coordinators and two agents, in memory.
type lab struct {
	t     *testing.T
	api   *API
	group *group
	gate  *gate
	nodes *watch.Value[fleet.View]
	stand *watch.Value[Standing]
	sick  *watch.Value[health.List]
	token map[Role]string
}

// A group is a raft group of one, with the real state machine.
type group struct {
	ahead *fsm.State // what the others agreed on, if this one lags
	*fsm.FSM
	index uint64
	down  error // what Read and Propose return
}

func (g *group) Propose(_ context.Context, actor string, c fsm.Command) (json.RawMessage, error) {
	if g.down != nil {
		return nil, g.down
	}
	return g.propose(time.Now(), actor, c)
}

func (g *group) propose(at time.Time, actor string, c fsm.Command) (json.RawMessage, error) {
	data, err := fsm.Encode(at, actor, c)
	if err != nil {
		return nil, err
	}
	if err := fsm.Check(data); err != nil {
		return nil, err
	}
	g.index++
	r := g.Apply(&raft.Log{Index: g.index, Data: data}).(fsm.Result)
	if r.Err != nil {
		return nil, r.Err
	}
	return json.Marshal(r.Value)
}

func (g *group) Read(context.Context) (fsm.State, error) {
	s, _ := g.State()
	if g.ahead != nil {
		s = *g.ahead
	}
	return s, g.down
}

// A gate answers instead of agents.
type gate struct {
	answer func(in *http.Request, model string, body []byte) (*http.Response, error)
	at     func(in *http.Request, node string, body []byte) ([]byte, error)
}

func (g *gate) At(in *http.Request, node string, body []byte) ([]byte, error) {
	if g.at == nil {
		return nil, problem.New(problem.Unreachable, "Wait.", "Silence.")
	}
	return g.at(in, node, body)
}

func (*gate) Choose(model string) route.Choice {
	return route.Choice{
		Candidates: []route.Candidate{{Node: "pi-1", API: "pi-1:7490", Score: 20, InFlight: 1, Others: 1, Millis: 10}},
		Rejected:   []wire.Rejected{{Node: "pi-2", Reason: "does not have the model " + model + " loaded"}},
	}
}

func (g *gate) Forward(in *http.Request, model string, body []byte) (*http.Response, error) {
	if g.answer == nil {
		return nil, problem.New(problem.NoCapacity, "Wait.", "Nobody.")
	}
	return g.answer(in, model, body)
}

func reply(code int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: code, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// enroller makes codes and admits nobody.
type enroller struct{ group *group }

func (e enroller) NewCode(ctx context.Context, actor string, spec CodeSpec) (string, fsm.Code, error) {
	var made fsm.Code
	b, err := e.group.Propose(ctx, actor, fsm.Once{Call: spec.Call, Command: fsm.CodeCreate{ID: "abc", Hash: fsm.Hash("x"), Role: spec.Role, Uses: spec.Uses, Expires: time.Now().Add(max(spec.TTL, time.Minute))}})
	if err != nil {
		return "", made, err
	}
	return "PS1.SECRET", made, json.Unmarshal(b, &made)
}

func (enroller) Join(_ context.Context, ip string, r identity.JoinRequest) (identity.JoinResponse, error) {
	return identity.JoinResponse{}, problem.New(problem.Forbidden, "Get a code.", "The code %s of %s at %s is not known.", r.Code, r.Name, ip)
}

func (e enroller) Renew(_ context.Context, id identity.ID, from string, _ identity.RenewRequest) (identity.RenewResponse, error) {
	return identity.RenewResponse{Certificate: id.String() + " " + from}, nil
}

func newLab(t *testing.T) *lab {
	t.Helper()
	g := &group{FSM: fsm.New()}
	l := &lab{
		t: t, group: g, gate: &gate{}, token: map[Role]string{},
		nodes: watch.New(fleet.View{}),
		stand: watch.New(Standing{Role: "follower", Leader: "c2", Term: 7, LastContact: 40 * time.Millisecond, Servers: []Peer{
			{"c1", "c1:7481", true}, {"c3", "c3:7481", false}, {"c2", "c2:7481", true},
		}}),
		sick: watch.New(health.List{}),
	}
	key := func(name string) string { return fsm.Hash("key of " + name) }
	admin, command := fsm.NewToken("ada", fsm.Admin)
	l.token[Admin] = admin
	l.must(fsm.ClusterInit{Name: "home", Node: fsm.Node{Name: "c1", Addresses: identity.Addresses{API: "c1:7480", Raft: "c1:7481"}, Version: "1.0", Key: key("c1")}, Token: command})
	for role, access := range map[Role]fsm.Access{Viewer: fsm.Viewer, Operator: fsm.Operator} {
		text, command := fsm.NewToken(string(role), access)
		l.token[role] = text
		l.must(command)
	}
	for _, name := range []string{"c2", "c3", "pi-1", "pi-2"} {
		role := fleet.Coordinator
		if name[0] == 'p' {
			role = fleet.Agent
		}
		code := fsm.CodeCreate{ID: strings.ReplaceAll(name, "-", ""), Hash: fsm.Hash(name), Role: role, Expires: noon.Add(time.Hour), Hold: name == "pi-2"}
		l.must(code)
		l.must(fsm.NodeJoin{Code: code.ID, Hash: code.Hash, Name: name, Role: role, Addresses: identity.Addresses{API: name + ":7480"}, Version: "1.0", Key: key(name)})
	}
	for _, n := range []struct {
		name string
		role fleet.Role
		is   fleet.Liveness
	}{{"c1", fleet.Coordinator, fleet.Alive}, {"c2", fleet.Coordinator, fleet.Alive}, {"pi-1", fleet.Agent, fleet.Alive}, {"pi-2", fleet.Agent, fleet.Alive}, {"c3", fleet.Coordinator, fleet.Dead}} {
		node := fleet.Node{Member: fleet.Member{Name: n.name, Role: n.role, API: n.name + ":7480", Version: "1.1"}, Liveness: n.is, Since: noon, LastSeen: noon}
		if n.role == fleet.Agent {
			node.Vital = fleet.Vital{Node: n.name, Ready: true, CPU: 0.25, Memory: 0.5, InFlight: 1, Models: []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 6.5}}}
		}
		l.nodes.Update(func(v fleet.View) fleet.View { return append(v[:len(v):len(v)], node) })
	}
	log := events.NewLog()
	log.Add(wire.Event{ID: wire.EventID(noon, 'l', 1), At: noon, Code: "node.alive", Severity: "info", Node: "pi-1", Detail: "The agent pi-1 is there."},
		wire.Event{ID: wire.EventID(noon, 'l', 2), At: noon, Code: "node.dead", Severity: "warning", Node: "c3", Detail: "The coordinator c3 does not answer any more.", Remedy: "Check it."})
	api, err := New(Config{
		Self: "c1", Group: g, Members: members{}, Standing: l.stand.Get, Views: l.nodes, Gateway: l.gate, Enroller: enroller{g}, Tasks: queue{g}, Objects: shelf{}, Atlas: charts{g}, Events: log, Health: l.sick.Get,
		SessionKey: bytes.Repeat([]byte{7}, 32), MaxBody: 1 << 20, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Stop)
	l.api = api
	return l
}

// charts is an atlas that signs nothing and waits for nothing.
type charts struct{ group *group }

func (c charts) Mesh(_ context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error) {
	s, _ := c.group.State()
	return wire.MeshBody{Signed: mesh.Signed{Map: json.RawMessage(`{"asked":"` + sum + ` ` + wait.String() + `"}`)}, Version: max(s.Mesh.Version, version)}, nil
}

func (charts) View(s fsm.State, living fleet.View, _ time.Time) wire.MeshViewBody {
	b := wire.MeshViewBody{Version: s.Mesh.Version}
	for _, n := range living {
		b.Outside = append(b.Outside, n.Name)
	}
	return b
}

func (charts) Client(_ fsm.State, name string, c fsm.MeshClient) wire.MeshClientBody {
	return wire.MeshClientBody{Name: name, Public: c.Public, Created: c.Created, Expires: c.Expires, By: c.By}
}

// members are a group that needs c2, and does without anybody else.
type members struct{}

func (members) Depart(_ context.Context, name string, force bool) error {
	if name == "c2" && !force {
		return problem.New(problem.Conflict, "Use force.", "Without c2 nothing could be decided.")
	}
	return nil
}

func (members) Shunned(context.Context) bool { return false }

func (l *lab) must(c fsm.Command) {
	l.t.Helper()
	if _, err := l.group.propose(noon, "token:ada", c); err != nil {
		l.t.Fatal(err)
	}
}

// as makes a request by somebody: "" is nobody, a role a token of it, another
// word a node's certificate.
func (l *lab) as(who, method, target, body string) *http.Request {
	l.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	switch token, ok := l.token[Role(who)]; {
	case ok:
		r.Header.Set("Authorization", "Bearer "+token)
	case who != "":
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate(l.t, who)}}
	}
	return r
}

func (l *lab) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.api.Handler().ServeHTTP(w, r)
	return w
}

// certificate makes one with the URI of a node: "agent/pi-1".
func certificate(t *testing.T, who string) *x509.Certificate {
	t.Helper()
	u, err := url.Parse("spiffe://home/" + who)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), URIs: []*url.URL{u}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var errNoQuorum = problem.New(problem.NoQuorum, "Start the others.", "No majority.")

var errBroken = errors.New("broken")
