package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/fsm"
	"primespark/shared/goldentest"
	"primespark/shared/oip"
	"primespark/shared/task"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

// What stands in the examples for what differs from run to run.
const (
	exampleReady = "06ap3k5v7g0o1t2e8c9h4m6n0q" // a task that waits
	exampleDead  = "06ap3k5v7g0o1t2e8c9h4m6n1r" // one that was given up
	exampleTime  = "2026-03-01T12:00:00Z"
)

// exampleLab is a lab in which there is something of everything, and what the examples
// name of it.
func exampleLab(t *testing.T) (l *lab, names *strings.Replacer) {
	t.Helper()
	l = newLab(t)
	l.remember()
	l.gate.at = func(_ *http.Request, node string, _ []byte) ([]byte, error) {
		return []byte(`{"model_stats":[{"name":"blazeface","version":"1","inference_count":4,"execution_count":4,"last_inference":1772366400000}]}`), nil
	}
	l.gate.answer = func(*http.Request, string, []byte) (*http.Response, error) {
		found := oip.Response{Model: "blazeface", Version: "1", Outputs: []tensor.Tensor{tensor.FromBytes("detections", []byte(`{"label":"face","score":0.918,"box":[177.4,81.1,272,174.6]}`))}}
		e, err := found.Encode(nil, nil)
		if err != nil {
			return nil, err
		}
		return reply(200, string(e.Bytes), "Content-Type", "application/json", wire.HeaderNode, "pi-1", wire.HeaderBackend, "builtin"), nil
	}
	ready := decoded[task.Task](t, l.do(l.as("operator", "POST", "/v1/tasks", `{"kind":"noop"}`)))
	l.do(l.as("operator", "POST", "/v1/tasks", `{"kind":"infer","model":"blazeface","input":{"image":"/9j/4AAQ"},"max_attempts":1,"priority":0}`))
	got := decoded[[]wire.Leased](t, l.do(l.as("agent/pi-1", "POST", "/v1/tasks:lease", `{"node":"pi-1","kinds":["infer"],"max":1}`)))
	if len(got) != 1 {
		t.Fatalf("leased %+v", got)
	}
	l.do(l.as("agent/pi-1", "POST", wire.TaskPath(got[0].ID, "fail"), `{"lease":"`+got[0].Lease.String()+`","error":"The photo is cut off."}`))
	bill := l.handIn("1")
	if code, _, text := l.putModel(bill); code >= 300 {
		t.Fatalf("%d %s", code, text)
	}
	s, _ := l.group.State()
	var viewer string
	for id, token := range s.Tokens {
		if token.Access == fsm.Viewer {
			viewer = id
		}
	}
	return l, strings.NewReplacer(exampleReady, ready.ID, exampleDead, got[0].ID, `"BILL","size":0`, fmt.Sprintf(`"%s","size":%d`, bill.SHA256, bill.Size), "TOKEN", viewer)
}

var (
	anyTime = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	anySum  = regexp.MustCompile(`[0-9a-f]{64}`)
	anyTask = regexp.MustCompile(`"(id|next)":"[0-9a-z]{26}"`)
	anyID   = regexp.MustCompile(`"id":"[a-z0-9]{10}"`)
	anyKey  = regexp.MustCompile(`"token":"pst_[^"]*"`)
	anyGo   = regexp.MustCompile(`"go":"go[^"]*","target":"[^"]*"`)
)

// settledAnswer takes out of an answer what differs from run to run.
func settledAnswer(call string, body []byte) json.RawMessage {
	s := anyTime.ReplaceAllString(string(body), exampleTime)
	s = anySum.ReplaceAllString(s, strings.Repeat("0123456789abcdef", 4))
	id := exampleReady
	if strings.Contains(call, "requeue") || strings.Contains(s, `"state":"dead"`) {
		id = exampleDead
	}
	s = anyTask.ReplaceAllString(s, `"$1":"`+id+`"`)
	s = anyID.ReplaceAllString(s, `"id":"k3xq7a2mzd"`)
	s = anyKey.ReplaceAllString(s, `"token":"pst_k3xq7a2mzd_..."`)
	s = anyGo.ReplaceAllString(s, `"go":"go1.26","target":"linux/arm64"`)
	return json.RawMessage(strings.TrimSpace(s))
}

// TestExamples makes the call of each example, and holds the answer to the one that the
// documentation shows. With -update it writes the answers.
func TestExamples(t *testing.T) {
	var all []Example
	if err := json.Unmarshal(examplesText, &all); err != nil {
		t.Fatal(err)
	}
	shared, sharedNames := exampleLab(t)
	for i, e := range all {
		t.Run(e.Call, func(t *testing.T) {
			l, names := shared, sharedNames
			method, path, _ := strings.Cut(e.Call, " ")
			if method != http.MethodGet { // it changes something
				l, names = exampleLab(t)
			}
			if concrete := strings.Count(e.Target, "/"); concrete != strings.Count(path, "/") {
				t.Errorf("%s is no address of %s", e.Target, path)
			}
			var b bytes.Buffer
			body, raw := e.content()
			if !raw && body != "" {
				if err := json.Compact(&b, e.Body); err != nil {
					t.Fatal(err)
				}
				body = b.String()
			}
			who := string(e.Role)
			if e.Role == Nobody {
				who = ""
			}
			r := l.as(who, method, names.Replace(e.Target), names.Replace(body))
			for name, value := range e.Header {
				r.Header.Set(name, value)
			}
			w := l.do(r)
			if w.Code >= 300 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			all[i].Status, all[i].Answer = w.Code, settledAnswer(e.Call, w.Body.Bytes())
			if !goldentest.Updating() && w.Code != e.Status {
				t.Errorf("it answers with %d, and the example says %d", w.Code, e.Status)
			}
			if d := cmp.Diff(e.Pretty(), all[i].Pretty()); d != "" && !goldentest.Updating() {
				t.Errorf("make golden accepts it (-example +answer):\n%s", d)
			}
		})
	}
	if goldentest.Updating() && !t.Failed() {
		b, err := json.MarshalIndent(all, "", "  ")
		if err == nil {
			err = os.WriteFile("examples.json", append(b, '\n'), 0o644)
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// TestEveryCallHasAnExample: what people and their programs call, and what answers in
// JSON, is shown by an example.
func TestEveryCallHasAnExample(t *testing.T) {
	examples, err := readExamples()
	if err != nil {
		t.Fatal(err)
	}
	const mesh = "it takes a mesh, which coordinator/systest has"
	without := map[string]string{
		"GET /v1/mesh": mesh, "GET /v1/mesh/view": mesh, "POST /v1/mesh:rotate": mesh, "POST /v1/mesh/clients": mesh, "POST /v1/mesh/clients/{name}:revoke": mesh,
		"POST /v1/join":   "it takes a request for a certificate",
		"POST /v1/backup": "it answers with a file",
		"POST /v2/models/{model}/versions/{version}/infer": "it is the same as without a version",
	}
	for _, r := range routes() {
		name := r.Method + " " + r.Path
		_, has := examples[name]
		delete(examples, name)
		wanted := (r.In != nil || r.Out != nil || r.Permission == Infer) && r.Permission != Belong && r.Permission != Assist
		if why := without[name]; wanted && why == "" && !has {
			t.Errorf("%s has no example in examples.json", name)
		} else if has && why != "" {
			t.Errorf("%s has an example all the same", name)
		}
	}
	for name := range examples {
		t.Errorf("%s is no call", name)
	}
}

// TestExamplesAsTheyAreTyped holds what /docs shows to what a shell makes of it.
func TestExamplesAsTheyAreTyped(t *testing.T) {
	e := Example{Call: "POST /v1/nodes/{name}:drain", Target: "/v1/nodes/pi-1:drain?force=1", Role: Operator, Header: map[string]string{"A": "it's"}, Body: json.RawMessage(`{"a":1}`)}
	want := "curl --cacert ca.crt -H \"Authorization: Bearer $(cat token)\" \\\n  -H 'A: it'\\''s' \\\n  --json '{\"a\":1}' \\\n  'https://COORDINATOR:7480/v1/nodes/pi-1:drain?force=1'"
	if got := e.Shell(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if e.value("name") != "pi-1" || e.value("force") != "1" || e.value("other") != nil {
		t.Errorf("values %v, %v and %v", e.value("name"), e.value("force"), e.value("other"))
	}
}
