package wire_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// The examples run against a server that gives the answers of the API's own examples, to
// which a test of the coordinator holds the coordinator.
var server = httptest.NewServer(examples())

func Example() {
	var ca []byte // ca.crt of the cluster: then nobody but its coordinators is believed
	c := wire.Pinned([]string{server.URL, "https://10.0.0.2:7480"}, "pst_k3xq7a2mzd_...", ca)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	status, err := c.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(status.Cluster, status.Mode, status.Leader)
	fmt.Println(status.Summary.Sentence)
	// Output:
	// home normal c2
	// 1 of 1 agents healthy, quorum 2/2, 1 node waits for approval.
}

// Any model of the fleet looks at a photo; the answer says which node did.
func ExampleClient_InferImage() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "..."}
	photo := []byte("the bytes of a JPEG")
	answer, err := c.InferImage(context.Background(), "blazeface", photo, http.Header{wire.HeaderDeadline: {"2000"}})
	if err != nil {
		log.Fatal(err)
	}
	response, err := oip.DecodeResponse(answer.Header, answer.Body, oip.Limits{})
	if err != nil {
		log.Fatal(err)
	}
	found, err := oip.Detections(response.Outputs[0])
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range found {
		fmt.Printf("%s %.0f%%, at %.0f,%.0f\n", f.Label, 100*f.Score, f.Box[0], f.Box[1])
	}
	// Output: face 92%, at 177,81
}

// A task is kept until a node has done it. The key makes it safe to send again.
func ExampleClient_SubmitTask() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "..."}
	ctx := context.Background()
	t, err := c.SubmitTask(ctx, task.Spec{Kind: task.Infer, Model: "blazeface", Input: json.RawMessage(`{"image":"/9j/4AAQ"}`)}, "front-door-0007")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t.ID, t.State, "priority", t.Priority)
	// Its end is waited for with c.Task(ctx, t.ID, 30*time.Second).
	// Output: 06ap3k5v7g0o1t2e8c9h4m6n0q ready priority 2
}

func ExampleClient_Nodes() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "...", Stale: true} // also without a quorum
	nodes, err := c.Nodes(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range nodes {
		fmt.Println(n.Name, n.Role, n.State, n.Liveness)
	}
	// Output:
	// c1 coordinator approved alive
	// c2 coordinator approved alive
	// c3 coordinator approved dead
	// pi-1 agent approved alive
	// pi-2 agent pending alive
}

// An error has a code to switch on, and a remedy for the person in front.
func ExampleClient_Node() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "..."}
	_, err := c.Node(context.Background(), "pi-9")
	if problem.Is(err, problem.NotFound) {
		e := problem.Of(err)
		fmt.Println(e.Detail, e.Remedy)
	}
	// Output: There is no node "pi-9". List them: prime-spark nodes.
}

// The newest samples of a stream of a node.
func ExampleClient_Telemetry() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "..."}
	rows, err := c.Telemetry(context.Background(), wire.TelemetryQuery{Node: "pi-1", Stream: "temperature", Limit: 2})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range rows {
		fmt.Println(r.Node, r.Seq, r.Value.Number(), r.Unit)
	}
	// Output:
	// pi-1 2 51.5 °C
	// pi-1 3 51.5 °C
}

// What happens, as it happens. A stream that breaks is taken up after the last event.
func ExampleClient_Stream() {
	c := &wire.Client{BaseURLs: []string{server.URL}, Token: "..."}
	for m, err := range c.Stream(context.Background(), "") {
		if err != nil {
			break // go on with c.Stream(ctx, last)
		}
		var e wire.Event
		if m.Type == wire.MessageEvent && json.Unmarshal(m.Data, &e) == nil {
			fmt.Println(e.Code, e.Node)
		}
	}
	// Output:
	// node.alive pi-1
	// node.dead c3
}

// examples answers as coordinator/api/examples.json says.
func examples() http.Handler {
	b, err := os.ReadFile("../../coordinator/api/examples.json")
	if err != nil {
		log.Fatal(err)
	}
	var all []struct {
		Call, Target string
		Status       int
		Answer       json.RawMessage
	}
	if err := json.Unmarshal(b, &all); err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, e := range all {
		method, _, _ := strings.Cut(e.Call, " ")
		path, _, _ := strings.Cut(e.Target, "?")
		mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(e.Status)
			w.Write(e.Answer)
		})
		if path == wire.PathEvents {
			mux.HandleFunc("GET "+wire.PathStream, func(w http.ResponseWriter, _ *http.Request) { stream(w, e.Answer) })
		}
	}
	mux.HandleFunc("GET /v1/nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, problem.New(problem.NotFound, "List them: prime-spark nodes.", "There is no node %q.", r.PathValue("name")))
	})
	return mux
}

// stream sends a list of events as a stream, which then breaks off.
func stream(w http.ResponseWriter, list json.RawMessage) {
	var b struct{ Events []json.RawMessage }
	if err := json.Unmarshal(list, &b); err != nil {
		log.Fatal(err)
	}
	for _, e := range b.Events {
		var one bytes.Buffer
		if err := json.Compact(&one, e); err != nil {
			log.Fatal(err)
		}
		fmt.Fprintf(w, "event: event\ndata: %s\n\n", &one)
	}
}
