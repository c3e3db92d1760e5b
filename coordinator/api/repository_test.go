package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// agents gives the lab agents that are there and approved, besides pi-1, and has
// them answer by say. It returns who was asked for what.
func (l *lab) agents(say func(node, path, body string) (string, error)) *[]string {
	l.t.Helper()
	l.must(fsm.NodeApprove{Name: "pi-2"})
	var mu sync.Mutex
	asked := &[]string{}
	l.gate.at = func(in *http.Request, node string, body []byte) ([]byte, error) {
		if _, ok := in.Context().Deadline(); !ok {
			l.t.Error("an agent has all the time in the world")
		}
		mu.Lock()
		*asked = append(*asked, node+" "+in.URL.Path)
		slices.Sort(*asked)
		mu.Unlock()
		text, err := say(node, in.URL.Path, string(body))
		return []byte(text), err
	}
	return asked
}

var (
	errGone    = problem.New(problem.Unreachable, "Wait.", "Silence.")
	errUnknown = problem.New(problem.NotFound, "Look.", "No such model.")
)

func TestIndexOfTheFleet(t *testing.T) {
	l := newLab(t)
	asked := l.agents(func(node, _, _ string) (string, error) {
		return map[string]string{
			"pi-1": `[{"name":"blazeface","version":"1","state":"READY","reason":""},{"name":"zoo","version":"1","state":"UNAVAILABLE","reason":"sha256 differs"}]`,
			"pi-2": `[{"name":"blazeface","version":"1","state":"LOADING","reason":""},{"name":"cats","version":"2","state":"READY","reason":""},{"name":"zoo","version":"1","state":"UNAVAILABLE","reason":"no file"}]`,
		}[node], nil
	})
	want := func(body, want, missing string) {
		t.Helper()
		w := l.do(l.as("viewer", "POST", wire.PathIndex, body))
		var rows []wire.ModelRow
		if err := json.Unmarshal(w.Body.Bytes(), &rows); err != nil {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		var got []string
		for _, r := range rows {
			got = append(got, strings.TrimSpace(r.Name+" "+r.Version+" "+string(r.State)+" "+strings.Join(r.Nodes, "+")+" "+r.Reason))
		}
		if strings.Join(got, "; ") != want || w.Header().Get(wire.HeaderMissing) != missing {
			t.Errorf("%s: %s, missing %q; want %s, missing %q", body, strings.Join(got, "; "), w.Header().Get(wire.HeaderMissing), want, missing)
		}
	}
	want("", "blazeface 1 READY pi-1+pi-2; cats 2 READY pi-2; zoo 1 UNAVAILABLE  pi-1: sha256 differs", "")
	want(`{"ready":false}`, "blazeface 1 READY pi-1+pi-2; cats 2 READY pi-2; zoo 1 UNAVAILABLE  pi-1: sha256 differs", "")
	*asked = nil
	want(`{"ready":true}`, "blazeface 1 READY pi-1+pi-2", "")
	if len(*asked) != 0 {
		t.Errorf("agents were asked for what gossip tells: %v", *asked)
	}
	l.gate.at = nil
	want("", "blazeface 1 READY pi-1+pi-2", "pi-1, pi-2")
	if w := l.do(l.as("viewer", "POST", wire.PathIndex, `{"ready":"yes"}`)); w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"error":"`) {
		t.Errorf("%d %s, want 400 in the protocol's form", w.Code, w.Body)
	}
}

func TestControlOfTheFleet(t *testing.T) {
	for name, test := range map[string]struct {
		say        map[string]error // by agent
		who, body  string
		code       int
		says       string
		notReached string
	}{
		"on all":                   {nil, "operator", "", 200, `{"nodes":["pi-1","pi-2"]}`, ""},
		"on those that have it":    {map[string]error{"pi-2": errUnknown}, "operator", `{}`, 200, `{"nodes":["pi-1"]}`, ""},
		"on one":                   {nil, "operator", `{"parameters":{"node":"pi-2"}}`, 200, `{"nodes":["pi-2"]}`, "pi-1"},
		"on one that has it not":   {map[string]error{"pi-2": errUnknown}, "operator", `{"parameters":{"node":"pi-2"}}`, 404, "pi-2: No such model.", ""},
		"on one that is not there": {nil, "operator", `{"parameters":{"node":"pi-9"}}`, 404, `There is no agent \"pi-9\"`, ""},
		"nobody has it":            {map[string]error{"pi-1": errUnknown, "pi-2": errUnknown}, "operator", "", 404, "No agent has the model", ""},
		"one fails":                {map[string]error{"pi-2": errGone}, "operator", "", 502, "pi-2: Silence. (The load succeeded on pi-1.) Wait.", ""},
		"a client's own files":     {nil, "operator", `{"parameters":{"file:1/model.onnx":""}}`, 400, "not allowed", "pi-1"},
		"no JSON":                  {nil, "operator", `hello`, 400, "cannot be read", "pi-1"},
		"a viewer":                 {nil, "viewer", "", 403, "viewer", "pi-1"},
		"nobody":                   {nil, "", "", 401, "token", "pi-1"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			asked := l.agents(func(node, path, body string) (string, error) {
				if path != "/v2/repository/models/cats/load" || body != test.body {
					t.Errorf("%s was asked for %s with %q", node, path, body)
				}
				return "{}", test.say[node]
			})
			w := l.do(l.as(test.who, "POST", "/v2/repository/models/cats/load", test.body))
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.says) {
				t.Errorf("%d %s, want %d %s", w.Code, w.Body, test.code, test.says)
			}
			if test.notReached != "" && strings.Contains(strings.Join(*asked, " "), test.notReached) {
				t.Errorf("%s was asked", test.notReached)
			}
		})
	}
	l := newLab(t)
	if w := l.do(l.as("operator", "POST", "/v2/repository/models/NO/unload", "")); w.Code != 404 {
		t.Errorf("a name that cannot be: %d %s", w.Code, w.Body)
	}
	l.nodes.Store(fleet.View{})
	if w := l.do(l.as("operator", "POST", "/v2/repository/models/cats/unload", "")); w.Code != 503 {
		t.Errorf("no agents: %d %s", w.Code, w.Body)
	}
}

func TestStatisticsOfTheFleet(t *testing.T) {
	one := `{"name":"cats","version":"1","last_inference":%d,"inference_count":2,"execution_count":1,"inference_stats":{"success":{"count":1,"ns":10},"cache_hit":{"count":3,"ns":4}},"batch_stats":[{"batch_size":2,"compute_infer":{"count":1,"ns":5}}]}`
	l := newLab(t)
	asked := l.agents(func(node, _, _ string) (string, error) {
		at := map[string]string{"pi-1": "7", "pi-2": "9"}[node]
		return `{"model_stats":[` + strings.ReplaceAll(one, "%d", at) + `]}`, nil
	})
	for _, path := range []string{"/v2/models/stats", "/v2/models/cats/stats", "/v2/models/cats/versions/1/stats"} {
		*asked = nil
		w := l.do(l.as("viewer", "GET", path, ""))
		var got oip.Stats
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || len(got.Models) != 1 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		m := got.Models[0]
		if m.LastInference != 9 || m.InferenceCount != 4 || m.ExecutionCount != 2 || m.Inference.Success != (oip.Duration{Count: 2, Nanos: 20}) ||
			m.Inference.CacheHit != (oip.Duration{Count: 6, Nanos: 8}) || len(m.Batches) != 1 || m.Batches[0].ComputeInfer != (oip.Duration{Count: 2, Nanos: 10}) {
			t.Errorf("%s: %+v", path, m)
		}
		if !slices.Equal(*asked, []string{"pi-1 " + path, "pi-2 " + path}) {
			t.Errorf("asked were %v", *asked)
		}
	}
	for name, test := range map[string]struct {
		path    string
		second  error
		code    int
		missing string
	}{
		"one is silent":         {"/v2/models/cats/stats", errGone, 200, "pi-2"},
		"one has it not":        {"/v2/models/cats/stats", errUnknown, 200, ""},
		"one speaks in tongues": {"/v2/models/cats/stats", nil, 200, "pi-2"},
		"a name that cannot be": {"/v2/models/NO/stats", nil, 404, ""},
	} {
		l := newLab(t)
		l.agents(func(node, _, _ string) (string, error) {
			if node == "pi-2" {
				return "{", test.second
			}
			return `{"model_stats":[]}`, nil
		})
		if w := l.do(l.as("viewer", "GET", test.path, "")); w.Code != test.code || w.Header().Get(wire.HeaderMissing) != test.missing {
			t.Errorf("%s: %d %s, missing %q", name, w.Code, w.Body, w.Header().Get(wire.HeaderMissing))
		}
	}
	for code, err := range map[int]error{404: errUnknown, 502: errGone} {
		l := newLab(t)
		l.agents(func(string, string, string) (string, error) { return "", err })
		if w := l.do(l.as("viewer", "GET", "/v2/models/cats/stats", "")); w.Code != code {
			t.Errorf("all say %v: %d %s", err, w.Code, w.Body)
		}
	}
}
