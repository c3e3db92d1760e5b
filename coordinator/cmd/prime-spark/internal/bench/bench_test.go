package bench

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"primespark/shared/load"
	"primespark/shared/model"
	"primespark/shared/oip"
	"primespark/shared/problem"
	"primespark/shared/tensor"
	"primespark/shared/wire"
)

func TestTensorsAreTheModels(t *testing.T) {
	m := model.Metadata{Name: "m", Inputs: []tensor.Spec{
		{Name: "a", Type: tensor.Float32, Shape: []int{-1, 3}},
		{Name: "b", Type: tensor.Int64, Shape: []int{2}},
		{Name: "c", Type: tensor.Bool, Shape: []int{4}},
		{Name: "d", Type: tensor.Float16, Shape: []int{2}},
	}}
	body, err := Tensors(m)
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	body.SetHeaders(h)
	r, err := oip.DecodeRequest(h, body.Bytes, oip.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for i, in := range r.Inputs {
		if err := m.Inputs[i].Fits(in.Type, in.Shape); err != nil {
			t.Error(err)
		}
	}
	if !r.Binary("any") {
		t.Error("the outputs are not asked for as binary data")
	}
	for _, bad := range []tensor.Spec{{Name: "x", Type: tensor.Bytes, Shape: []int{1}}, {Name: "x", Type: tensor.Float64, Shape: []int{1 << 24}}} {
		if _, err := Tensors(model.Metadata{Inputs: []tensor.Spec{bad}}); !problem.Is(err, problem.Invalid) {
			t.Errorf("%v: %v, want a refusal", bad, err)
		}
	}
}

// Each connection is one of its own, refusals count by their code, and the servers'
// own times are means of the good answers.
func TestRun(t *testing.T) {
	var mu sync.Mutex
	peers, n := map[string]bool{}, 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "photo" || r.Header.Get(oip.HeaderLength) != "0" || r.Header.Get("Authorization") != "Bearer t" || r.Header.Get(wire.HeaderDeadline) != "2000" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("got %q, %v, %v", body, r.Header, err)
		}
		mu.Lock()
		peers[r.RemoteAddr] = true
		n++
		refuse := n%4 == 0
		mu.Unlock()
		if refuse {
			oip.WriteError(w, problem.New(problem.Busy, "Wait.", "Full."))
			return
		}
		w.Header().Set(wire.HeaderNode, "pi-1")
		w.Header().Add(wire.HeaderTiming, "queue;dur=1, infer;dur=3.5")
		w.Header().Add(wire.HeaderTiming, "gateway;dur=2")
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	r, err := Run(t.Context(), s.Client(), Job{
		Server: s.URL, Token: "t", Model: "m", Body: Photo([]byte("photo")), Timeout: 2 * time.Second,
		Plan: load.Plan{Connections: 3, Duration: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.Sent < 4 || r.Unsent != 0 || r.Good+r.Failed["busy"] != r.Sent || r.Failed["busy"] != r.Sent/4 || len(r.Failed) != 1 || r.Nodes["pi-1"] != r.Good {
		t.Errorf("%+v", r)
	}
	if !maps.Equal(r.Steps, map[string]float64{"queue": 1, "infer": 3.5, "gateway": 2}) {
		t.Errorf("steps %v", r.Steps)
	}
	if len(peers) < 3 { // one that breaks is made anew
		t.Errorf("%d connections, want 3", len(peers))
	}
	if r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P999 || r.Throughput <= 0 {
		t.Errorf("latency %+v, throughput %v", r.Latency, r.Throughput)
	}
}

func TestNothingGoodIsAnError(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"not_found": func(w http.ResponseWriter, _ *http.Request) {
			oip.WriteError(w, problem.New(problem.NotFound, "", "No."))
		},
		"unreachable": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		s := httptest.NewServer(h)
		r, err := Run(t.Context(), nil, Job{Server: s.URL, Model: "m", Timeout: time.Second, Plan: load.Plan{Connections: 1, Duration: 50 * time.Millisecond}})
		s.Close()
		if err == nil || !problem.Is(err, problem.Code(name)) || r.Failed[name] == 0 || !strings.Contains(err.Error(), ".") {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}
