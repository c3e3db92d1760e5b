package operator

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"primespark/coordinator/pki"
	"primespark/shared/envelope"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

// at is when everything in the fake cluster happened.
var at = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// authority makes a cluster's authority, and a function that serves h with the
// certificate of a node of that cluster.
func authority(t *testing.T, cluster string) (ca []byte, serve func(role fleet.Role, h http.Handler) string) {
	t.Helper()
	a, err := pki.Create(cluster, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a.PEM(), func(role fleet.Role, h http.Handler) string {
		key, csr, err := identity.NewKey("c1")
		if err != nil {
			t.Fatal(err)
		}
		// No host name at all: the node's address is not what it is known by.
		chain, err := a.Issue(csr, identity.ID{Cluster: cluster, Role: role, Name: "c1"}, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := tls.X509KeyPair(chain, key)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(h)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are meant to fail
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
}

// noQuorum is a coordinator that has lost the others.
func noQuorum(w http.ResponseWriter, _ *http.Request) {
	problem.Write(w, problem.New(problem.NoQuorum, "Start the other coordinators.", "There is no quorum: 1 of 3 coordinators answers."))
}

// coordinator is a coordinator whose fleet never changes. It knows the token
// "good" and nobody else.
func coordinator() http.Handler {
	pi1 := wire.NodeBody{
		Name: "pi-1", Role: fleet.Agent, State: "approved", Liveness: fleet.Alive, Since: at, LastSeen: at, Mode: fleet.Normal, Ready: true,
		Power: fleet.Power{Source: fleet.Battery, Charge: new(0.5), Minutes: new(42.0)}, Temperature: new(51.3), CPU: 0.25, Memory: 0.5, InFlight: 1,
		Models:    []fleet.Serving{{Name: "blazeface", Version: "1", Backend: "builtin", Millis: 4.2}},
		Addresses: map[string]string{"api": "10.0.0.11:7490"}, Version: "1.0.0",
	}
	hostile := wire.NodeBody{Name: "evil\x1b[2J", Role: fleet.Agent, State: "pending", Liveness: fleet.Dead, Reasons: []string{"draining\r\n"}}
	mux := http.NewServeMux()
	answer := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				problem.Write(w, err)
				return
			}
			json.NewEncoder(w).Encode(v)
		})
	}
	answer("GET /v1/status", func(*http.Request) (any, error) {
		return wire.StatusBody{
			Cluster: "spark", Mode: fleet.Normal, Leader: "c1", Term: 3, AppliedIndex: 17, StateChecksum: "0123456789abcdef",
			Coordinators: []wire.Coordinator{
				{Name: "c1", Role: wire.RoleLeader, API: "10.0.0.1:7480", Voter: true, Alive: true, Version: "1.0.0"},
				{Name: "c2", Role: wire.RoleFollower, API: "10.0.0.2:7480", Voter: true, Alive: true, Version: "1.0.0", LastContactMS: new(int64(12))},
				{Name: "w1", Role: wire.RoleWitness, Voter: true, Alive: true, Version: "1.0.0"},
				{Name: "c3", Role: wire.RoleUnreachable, API: "10.0.0.3:7480", Voter: true},
			},
			Summary: wire.Summary{Sentence: "1 of 2 agents healthy, quorum 2/2."},
			Behind:  []string{"evil\x1b[2J", "pi-1"}, Newest: "1.1.0",
		}, nil
	})
	answer("GET /v1/nodes", func(*http.Request) (any, error) { return wire.NodesBody{Nodes: []wire.NodeBody{hostile, pi1}}, nil })
	mux.HandleFunc("/v1/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		name, action, _ := strings.Cut(r.PathValue("name"), ":")
		if name == "c2" || name == "c3" {
			if action == "revoke" && name == "c2" && r.URL.Query().Get("force") != "1" {
				problem.Write(w, problem.New(problem.Conflict, "With --force c2 goes all the same.", "Without c2 nothing could be decided."))
				return
			}
			json.NewEncoder(w).Encode(wire.NodeBody{Name: name, Role: fleet.Coordinator, State: map[bool]string{false: "approved", true: "revoked"}[action == "revoke"]})
			return
		}
		if name != "pi-1" {
			problem.Write(w, problem.New(problem.NotFound, "See prime-spark nodes.", "There is no node %s.", name))
			return
		}
		n := pi1
		n.State = map[string]string{"drain": "draining", "revoke": "revoked"}[action]
		if n.State == "" {
			n.State = "approved"
		}
		json.NewEncoder(w).Encode(n)
	})
	answer("GET /v1/alerts", func(*http.Request) (any, error) {
		return wire.AlertsBody{Alerts: []wire.Alert{
			{ID: 7, Key: "node_down/c3", Severity: "critical", Since: at, Detail: "The coordinator c3 is down.", Remedy: "Look at its power.", Told: []wire.AlertTold{{Channel: "ops", At: at, By: "c1"}}},
			{ID: 8, Key: "hot/evil\x1b[2J", Severity: "warning", Since: at, Detail: "It is hot.", Remedy: "See its fan.", Told: []wire.AlertTold{}},
		}}, nil
	})
	answer("POST /v1/join-codes", func(r *http.Request) (any, error) {
		var q wire.JoinCodeRequest
		err := json.NewDecoder(r.Body).Decode(&q)
		return wire.JoinCodeBody{ID: "j1", Role: q.Role, Code: fmt.Sprintf("PS1.%s-%s-%d", q.Role, q.TTL, q.Uses), Expires: at, Uses: q.Uses}, err
	})
	grafana := wire.TokenRow{ID: "k3xq7a", Name: "grafana", Role: "viewer", Created: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	answer("GET /v1/tokens", func(*http.Request) (any, error) { return wire.TokensBody{Tokens: []wire.TokenRow{grafana}}, nil })
	answer("POST /v1/tokens/{id}", func(r *http.Request) (any, error) {
		if r.PathValue("id") != grafana.ID+":revoke" {
			return nil, problem.New(problem.NotFound, "List them first.", "There is no token.")
		}
		return grafana, nil
	})
	answer("POST /v1/tokens", func(r *http.Request) (any, error) {
		var q wire.TokenRequest
		err := json.NewDecoder(r.Body).Decode(&q)
		return wire.TokenBody{ID: "t1", Name: q.Name, Role: q.Role, Token: "made-for-" + q.Name}, err
	})
	answer("GET /v1/gossip-key", func(*http.Request) (any, error) {
		return wire.GossipKeyBody{Generation: 1, Target: 2, Step: wire.GossipInstall, Changed: at, Reason: "asked for by token:ada", Missing: []string{"pi-7"}}, nil
	})
	answer("POST /v1/gossip-key:rotate", func(*http.Request) (any, error) {
		return wire.GossipKeyBody{Generation: 1, Target: 2, Step: wire.GossipInstall, Changed: at, Reason: "asked for by token:ada"}, nil
	})
	answerMesh(answer, at)
	mux.HandleFunc("POST /v1/backup", func(w http.ResponseWriter, r *http.Request) {
		var q wire.BackupRequest
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.Recipient == "" {
			problem.Write(w, problem.New(problem.Invalid, "Give one with --recipient age1...", "There is no public key to encrypt the backup to."))
			return
		}
		var b bytes.Buffer
		e, err := envelope.NewWriter(&b, envelope.Header{Cluster: "spark", At: at, Index: 17, Checksum: "0123456789abcdef"})
		if err == nil {
			_, err = io.WriteString(e, "encrypted to "+q.Recipient)
		}
		if err == nil {
			err = e.Close()
		}
		if err != nil {
			problem.Write(w, err)
			return
		}
		sent := b.Bytes()
		if q.Recipient == "age1cut" {
			sent = sent[:len(sent)-3]
		}
		w.Write(sent)
	})
	var asked atomic.Int32
	answer("GET /v1/route", func(r *http.Request) (any, error) {
		if r.FormValue("model") == "thrice" {
			if asked.Add(1)%4 == 0 {
				return nil, problem.New(problem.Forbidden, "Ask for another token.", "This token may not look any more.")
			}
		}
		b := wire.RouteBody{Model: r.FormValue("model"), Rejected: []wire.Rejected{{Node: "pi-2", Reason: "It does not have the model."}}}
		if b.Model == "blazeface" {
			b.Candidates = []wire.Candidate{{Node: "pi-1", Score: 8.4, Terms: map[string]float64{"queue": 0, "in_flight": 1, "latency_ms": 4.2}, Reason: "The least to wait."}}
		}
		return b, nil
	})
	event := wire.Event{ID: "e1", At: at, Code: "node_dead", Severity: "error", Node: "pi-2", Detail: "It has not been heard of for 3 s.", Remedy: "Look at its power."}
	answer("GET /v1/events", func(r *http.Request) (any, error) {
		if r.FormValue("after") == event.ID {
			return wire.EventsBody{}, nil
		}
		return wire.EventsBody{Events: []wire.Event{event}}, nil
	})
	mux.HandleFunc("GET /v1/stream", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("after") == "e2" { // that was all; a refusal ends the following
			problem.Write(w, problem.New(problem.Forbidden, "Ask for another token.", "This token may not follow any more."))
			return
		}
		id := "e1"
		if r.FormValue("after") == "e1" {
			id = "e2"
		}
		fmt.Fprintf(w, "event: fleet\ndata: {}\n\nevent: event\nid: %s\ndata: {\"id\":%q,\"code\":\"tick\",\"severity\":\"info\",\"detail\":\"Event %s.\",\"at\":\"2026-03-01T12:00:00Z\"}\n\n", id, id, id)
	})
	shelf := shelve(mux)
	fleetModels(answer, shelf)
	answer("GET /v2/models/{model}", func(r *http.Request) (any, error) {
		switch r.PathValue("model") {
		case "blazeface":
			return model.Metadata{Name: "blazeface", Image: true, Inputs: []tensor.Spec{{Name: "x", Type: tensor.Float32, Shape: []int{-1, 2}}}}, nil
		case "words":
			return model.Metadata{Name: "words", Inputs: []tensor.Spec{{Name: "text", Type: tensor.Bytes, Shape: []int{1}}}}, nil
		}
		return nil, problem.New(problem.NotFound, "There is blazeface.", "There is no model %s.", r.PathValue("model"))
	})
	mux.HandleFunc("POST /v2/models/{model}/infer", infer)
	queue(mux, shelf)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer good" {
			problem.Write(w, problem.New(problem.Unauthorized, "Log in with prime-spark login.", "A token is needed."))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// infer finds one face in whatever begins like a JPEG.
func infer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		oip.WriteError(w, err)
	case r.PathValue("model") == "mnist" && json.Valid(body):
		w.Write([]byte(`{"model_name":"mnist","outputs":[]}`))
	case r.PathValue("model") != "blazeface":
		oip.WriteError(w, problem.New(problem.NotFound, "There is blazeface.", "There is no model %s.", r.PathValue("model")))
	case !bytes.HasPrefix(body, []byte("\xff\xd8")):
		oip.WriteError(w, problem.New(problem.BadMedia, "Send a JPEG, PNG, WebP, BMP or TIFF.", "That is no image."))
	default:
		face := []byte(`{"label":"face","score":0.918,"box":[180.4,62.1,268,174]}`)
		answer := oip.Response{Model: "blazeface", Outputs: []tensor.Tensor{tensor.FromBytes("detections", face)}}
		encoded, err := answer.Encode(nil, nil)
		if err != nil {
			oip.WriteError(w, err)
			return
		}
		encoded.SetHeaders(w.Header())
		w.Header().Set(wire.HeaderNode, "pi-1")
		w.Header().Set(wire.HeaderBackend, "builtin")
		w.Header().Set(wire.HeaderGateway, "c2")
		w.Header().Set(wire.HeaderAttempts, "2")
		w.Header().Set(wire.HeaderTiming, "queue;dur=0.1, infer;dur=4.2")
		w.Write(encoded.Bytes)
	}
}
