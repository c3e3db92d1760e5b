package api

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"primespark/coordinator/fsm"
	"primespark/shared/identity"
	"primespark/shared/oip"
	"primespark/shared/version"
	"primespark/shared/wire"
)

// A Route is one row of the table: all that is known of a call.
type Route struct {
	Method     string
	Path       string // with {names}; a :verb may follow the last one
	Permission Permission
	Audit      string // name of the act in the log; empty for what changes nothing
	Summary    string
	Query      []Param
	In, Out    any // values whose types are the JSON bodies; nil if there is none
	handle     func(*API, http.ResponseWriter, *call) error
}

// A Param is a query parameter.
type Param struct{ Name, About string }

// A call is a request and who makes it.
type call struct {
	*http.Request
	who   Principal
	still func() error // whether the caller is allowed it now: for answers that last
	// outlive returns a still for what goes on when the request has been handled, which
	// keeps no more of it than that asks about.
	outlive func() func() error
	once    fsm.Call // its Idempotency-Key; zero if it has none, or is about tasks
}

var stale = Param{"stale", "1: answer at once from what this coordinator knows, and say so in X-Stale"}

// routes is the table. A test holds the contract's list against it.
func routes() []Route {
	table := []Route{
		{"GET", wire.PathLive, Public, "", "Whether the process runs.", nil, nil, nil, (*API).live},
		{"GET", wire.PathReady, Public, "", "Whether this coordinator can decide, and why not.", nil, nil, wire.ReadyBody{}, (*API).ready},
		{"GET", wire.PathMetrics, View, "", "Figures for Prometheus.", nil, nil, nil, (*API).figures},
		{"GET", wire.PathVersion, Public, "", "Which build this is.", nil, nil, version.Info{}, (*API).version},
		{"GET", wire.PathStatus, View, "", "The cluster in one look. It never fails for want of a quorum, but is then labelled stale.", []Param{stale}, nil, wire.StatusBody{}, (*API).status},
		{"GET", wire.PathNodes, View, "", "All nodes, by name.", []Param{stale}, nil, wire.NodesBody{}, (*API).nodes},
		{"GET", wire.PathNodes + "/{name}", View, "", "One node.", []Param{stale}, nil, wire.NodeBody{}, (*API).node},
		{"POST", wire.PathNodes + "/{name}:approve", Operate, "node.approve", "Let a node that waits for it take part.", nil, nil, wire.NodeBody{}, action(wire.Approve)},
		{"POST", wire.PathNodes + "/{name}:drain", Operate, "node.drain", "Give a node no new work.", nil, nil, wire.NodeBody{}, action(wire.Drain)},
		{"POST", wire.PathNodes + "/{name}:undrain", Operate, "node.undrain", "Give it work again.", nil, nil, wire.NodeBody{}, action(wire.Undrain)},
		{"POST", wire.PathNodes + "/{name}:revoke", Operate, "node.revoke", "Shut a node out: its certificate is refused everywhere. To revoke a coordinator takes an admin; one that leads hands over first, and one without which the others could not decide is refused.", []Param{{"force", "1: revoke a coordinator even if the group then has no quorum"}}, nil, wire.NodeBody{}, action(wire.Revoke)},
		{"POST", wire.PathJoinCodes, Operate, "join_code.create", "Make a code by which a node joins. One for a coordinator, which gets the cluster's keys, takes an admin.", nil, wire.JoinCodeRequest{}, wire.JoinCodeBody{}, (*API).createJoinCode},
		{"POST", wire.PathJoin, Public, "node.join", "Join with a code; the code is the permission.", nil, identity.JoinRequest{}, identity.JoinResponse{}, (*API).join},
		{"POST", identity.RenewPath, Belong, "node.renew", "Give the node whose certificate is shown another one, for a fresh key.", nil, identity.RenewRequest{}, identity.RenewResponse{}, (*API).renew},
		{"GET", wire.PathPlan, Belong, "", "What was decided about the node whose certificate is shown, and which certificates it must refuse.", []Param{{"index", "of the last answer: wait for a newer one"}, {"wait", "at most so long, as in 60s"}}, nil, wire.PlanBody{}, (*API).plan},
		{"POST", wire.PathTokens, Administer, "token.create", "Make a token for a person or a program.", nil, wire.TokenRequest{}, wire.TokenBody{}, (*API).createToken},
		{"GET", wire.PathTokens, Administer, "", "All tokens, by name, without their secrets.", []Param{stale}, nil, wire.TokensBody{}, (*API).tokens},
		{"POST", wire.PathTokens + "/{id}:revoke", Administer, "token.revoke", "End a token, and all log-ins on the page by it. The last one of an admin stays.", nil, nil, wire.TokenRow{}, (*API).revokeToken},
		{"POST", wire.PathBackup, Administer, "backup.create", "A consistent, encrypted and verified backup of the state and the cluster's keys; prime-spark-coordinator restore takes it.", nil, wire.BackupRequest{}, nil, (*API).backup},
		{"GET", wire.PathRoute, View, "", "Which agents would answer for a model, in which order, and why.", []Param{{"model", "name of the model"}}, nil, wire.RouteBody{}, (*API).route},
		{"GET", wire.PathEvents, View, "", "What happened, newest last.", []Param{{"after", "id of an event: only later ones"}, {"limit", "at most so many, 1 to 1000; 100 if not given"}}, nil, wire.EventsBody{}, (*API).events},
		{"GET", wire.PathAlerts, View, "", "What is wrong now: since when, what to do, and who was told when. The critical first, then the oldest.", []Param{stale}, nil, wire.AlertsBody{}, (*API).alerts},
		{"GET", wire.PathStream, View, "", "What happens, as server-sent events: event (an event) and fleet (the summary, when it changes).", []Param{{"after", "id of an event: later ones come first; so does the header Last-Event-ID"}}, nil, nil, (*API).stream},

		{"GET", "/v2", View, "", "The gateway's name and extensions (Open Inference Protocol).", nil, nil, oip.Server{}, (*API).serverMetadata},
		{"GET", "/v2/health/live", View, "", "Whether the gateway runs.", nil, nil, healthBody{}, (*API).oipLive},
		{"GET", "/v2/health/ready", View, "", "Whether there is an agent that can answer.", nil, nil, healthBody{}, (*API).oipReady},
		{"POST", wire.PathIndex, View, "", "Which models the agents have, ready or not, and which agents have them ready. The body may be empty.", nil, oip.IndexRequest{}, []wire.ModelRow{}, (*API).index},
		{"POST", "/v2/repository/models/{model}/load", Operate, "model.load", "Have all agents that have the model in their store load it, or the one that parameters.node names. The body may be empty.", nil, oip.LoadRequest{}, controlled{}, control("load")},
		{"POST", "/v2/repository/models/{model}/unload", Operate, "model.unload", "Have all agents that have the model unload it, or the one that parameters.node names. The body may be empty.", nil, oip.LoadRequest{}, controlled{}, control("unload")},
		{"GET", "/v2/models/stats", View, "", "The counts of all models, summed over the agents that answered.", nil, nil, oip.Stats{}, (*API).stats},
		{"GET", "/", View, "", "The status page.", nil, nil, nil, (*API).showPage},
		{"GET", "/mesh", View, "", "The page of the mesh: who reaches whom, drawn and in words. It never waits for a quorum.", nil, nil, nil, (*API).showMesh},
		{"GET", "/nodes/{name}", View, "", "The page of one node, with charts of what it measured. It never waits for a quorum.", []Param{{"range", "how far back: 1h, 24h or 30d; 1h if not given"}}, nil, nil, (*API).showNode},
		{"GET", "/page/stream", View, "", "The changing part of the page, as server-sent events.", []Param{{"after", "the data-sheet of a page that came a moment ago: only what differs from it is sent"}}, nil, nil, (*API).pageStream},
		{"GET", "/openapi.json", View, "", "This table as OpenAPI 3.1.", nil, nil, nil, (*API).openAPI},
		{"GET", "/docs", View, "", "This table for people.", nil, nil, nil, (*API).docs},
		{"GET", "/login", Public, "", "The form for the token.", nil, nil, nil, (*API).showLogin},
		{"POST", "/login", Public, "login", "Exchange a token for the page's cookie.", nil, nil, nil, (*API).login},
		{"POST", "/logout", Public, "logout", "Forget the cookie.", nil, nil, nil, (*API).logout},
		{"GET", "/static/{file}", Public, "", "The page's stylesheet, script and icon.", nil, nil, nil, (*API).static},
	}
	table = append(table, deedRoutes()...)
	table = append(table, heartbeatRoute())
	table = append(table, gossipRoutes()...)
	table = append(table, meshRoutes()...)
	table = append(table, taskRoutes()...)
	table = append(table, objectRoutes()...)
	table = append(table, modelRoutes()...)
	table = append(table, telemetryRoutes()...)
	for _, version := range []string{"", "/versions/{version}"} {
		model := "/v2/models/{model}" + version
		table = append(table,
			Route{"GET", model, View, "", "What a model takes and gives, as an agent that has it says.", nil, nil, nil, (*API).ofModel},
			Route{"GET", model + "/ready", View, "", "Whether an agent has the model ready.", nil, nil, nil, (*API).ofModel},
			Route{"GET", model + "/stats", View, "", "The counts of a model, summed over the agents that answered.", nil, nil, oip.Stats{}, (*API).stats},
			Route{"POST", model + "/infer", Infer, "", "Infer on the best agent. The body is passed on as it is: JSON, JSON with binary tensors, or an image with Inference-Header-Content-Length: 0.", nil, nil, nil, (*API).infer},
		)
	}
	return table
}

var safePath = regexp.MustCompile(`^/[a-z0-9{}/._-]*(:[a-z]+)?$`)

// check reports rows that are not fit to be served.
func check(table []Route) error {
	var faults []error
	seen := map[string]bool{}
	for _, r := range table {
		name := r.Method + " " + r.Path
		bad := func(what string) { faults = append(faults, fmt.Errorf("route %s %s", name, what)) }
		if seen[name] {
			bad("is there twice")
		}
		seen[name] = true
		if !r.Permission.valid() {
			bad("has no permission")
		}
		if r.Summary == "" || r.handle == nil {
			bad("has no summary or no handler")
		}
		if !safePath.MatchString(r.Path) {
			bad("has a strange path")
		}
		changes := r.Method != http.MethodGet && !strings.HasPrefix(r.Path, "/v2/")
		if changes && r.Audit == "" {
			bad("changes something and has no name for the audit")
		}
	}
	return errors.Join(faults...)
}
