package route

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"primespark/shared/fleet"
)

// An option changes a node that is alive, ready and has yolo at 10 ms.
type option func(*fleet.Node)

func node(name string, options ...option) fleet.Node {
	n := fleet.Node{
		Member: fleet.Member{Name: name, Role: fleet.Agent, API: name + ":7490"}, Liveness: fleet.Alive,
		Vital: fleet.Vital{Ready: true, Models: []fleet.Serving{{Name: "yolo", Millis: 10}}},
	}
	for _, o := range options {
		o(&n)
	}
	return n
}

func load(inFlight, queue int) option {
	return func(n *fleet.Node) { n.Vital.InFlight, n.Vital.Queue = inFlight, queue }
}
func latency(ms float64) option  { return func(n *fleet.Node) { n.Vital.Models[0].Millis = ms } }
func is(l fleet.Liveness) option { return func(n *fleet.Node) { n.Liveness = l } }
func unready(reasons ...string) option {
	return func(n *fleet.Node) { n.Vital.Ready, n.Vital.Reasons = false, reasons }
}

func powered(state fleet.PowerState, charge, minutes float64) option {
	return func(n *fleet.Node) { n.Vital.Power = fleet.Power{State: state, Charge: &charge, Minutes: &minutes} }
}

// drawn returns numbers in turn.
func drawn(numbers ...int) func(int) int {
	return func(int) int {
		n := numbers[0]
		numbers = numbers[1:]
		return n
	}
}

func TestChooseOrder(t *testing.T) {
	approved := map[string]string{"a": Approved, "b": Approved, "c": Approved}
	for name, test := range map[string]struct {
		view fleet.View
		sent map[string]int
		draw []int // of those about as good, in order of score
		want string
	}{
		"one":                  {fleet.View{node("a")}, nil, nil, "a"},
		"shorter queue":        {fleet.View{node("a", load(1, 2)), node("b", load(1, 0))}, nil, nil, "b a"},
		"in flight counts too": {fleet.View{node("a", load(3, 0)), node("b", load(1, 1))}, nil, nil, "b a"},
		"faster":               {fleet.View{node("a", latency(30)), node("b", latency(10))}, nil, nil, "b a"},
		"busy but faster":      {fleet.View{node("a", latency(30)), node("b", latency(10), load(1, 0))}, nil, nil, "b a"},
		"own requests count":   {fleet.View{node("a"), node("b")}, map[string]int{"a": 2}, nil, "b a"},
		"and not twice":        {fleet.View{node("a", load(2, 0)), node("b", load(3, 0))}, map[string]int{"a": 2}, nil, "a b"},
		"equal: one is drawn":  {fleet.View{node("a"), node("b"), node("c")}, nil, []int{2}, "c a b"},
		"about as good":        {fleet.View{node("a", latency(10)), node("b", latency(11)), node("c", latency(12))}, nil, []int{1}, "b a c"},
		"the best":             {fleet.View{node("a", latency(1)), node("b", latency(2)), node("c", latency(3))}, nil, nil, "a b c"},
		"mains before battery": {fleet.View{node("a", powered(fleet.PowerOnBattery, .9, 200)), node("b", load(2, 0))}, nil, nil, "b a"},
		"until they are full":  {fleet.View{node("a", powered(fleet.PowerOnBattery, .9, 200)), node("b", load(4, 0))}, nil, nil, "a b"},
		"the fuller battery":   {fleet.View{node("a", powered(fleet.PowerOnBattery, .4, 200)), node("b", powered(fleet.PowerOnBattery, .6, 200))}, nil, nil, "b a"},
		"the longer battery":   {fleet.View{node("a", powered(fleet.PowerOnBattery, .5, 30)), node("b", powered(fleet.PowerOnBattery, .5, 50))}, nil, nil, "b a"},
		"one that recovers":    {fleet.View{node("a", powered(fleet.PowerRecovering, .2, 0)), node("b")}, nil, nil, "b a"},
		"unknown latency":      {fleet.View{node("a", latency(20)), node("b", latency(0))}, nil, []int{1}, "b a"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Choose(Request{View: test.view, States: approved, Model: "yolo", Sent: test.sent, Draw: drawn(test.draw...)})
			var got []string
			for _, c := range c.Candidates {
				got = append(got, c.Node)
				if e := c.Explain(); e.Score <= 0 || e.Reason == "" || len(e.Terms) < 5 || e.Terms["power"] < 1 || c.API != c.Node+":7490" {
					t.Errorf("%s is not explained: %+v", c.Node, c)
				}
			}
			if s := strings.Join(got, " "); s != test.want {
				t.Errorf("got %q, want %q", s, test.want)
			}
		})
	}
}

func TestChooseRejects(t *testing.T) {
	for name, test := range map[string]struct {
		node  fleet.Node
		state string // "" for none
		want  string
	}{
		"stranger":      {node("a"), "", "not a member"},
		"pending":       {node("a"), "pending", "is pending"},
		"draining":      {node("a"), "draining", "is draining"},
		"revoked":       {node("a"), "revoked", "is revoked"},
		"dead":          {node("a", is(fleet.Dead)), Approved, "is dead"},
		"link down":     {node("a", is(fleet.LinkDown)), Approved, "cannot be reached from here"},
		"left":          {node("a", is(fleet.Left)), Approved, "has left"},
		"suspect":       {node("suspect"), Approved, "did not answer just now: connection refused"},
		"starting":      {node("a", unready("starting")), Approved, "is not ready: starting"},
		"unready":       {node("a", unready()), Approved, "is not ready"},
		"no address":    {node("a", func(n *fleet.Node) { n.API = "" }), Approved, "no API address"},
		"other model":   {node("a", func(n *fleet.Node) { n.Vital.Models[0].Name = "other" }), Approved, "does not have the model yolo"},
		"no models":     {node("a", func(n *fleet.Node) { n.Vital.Models = nil }), Approved, "does not have the model yolo"},
		"low":           {node("a", powered(fleet.PowerLow, .2, 10)), Approved, "has little power left (low) and serves its own host only"},
		"going down":    {node("a", powered(fleet.PowerShuttingDown, .1, 0)), Approved, "has little power left (shutting down)"},
		"a coordinator": {node("a", func(n *fleet.Node) { n.Role = fleet.Coordinator }), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{View: fleet.View{test.node}, Model: "yolo", Suspects: map[string]string{"suspect": "connection refused"}}
			if test.state != "" {
				r.States = map[string]string{test.node.Name: test.state}
			}
			c := Choose(r)
			if len(c.Candidates) != 0 {
				t.Fatalf("is a candidate: %+v", c.Candidates)
			}
			if test.want == "" && len(c.Rejected) == 0 {
				return
			}
			if len(c.Rejected) != 1 || !strings.Contains(c.Rejected[0].Reason, test.want) {
				t.Errorf("got %+v, want %q", c.Rejected, test.want)
			}
		})
	}
}

func TestChooseNamesAgentsThatGossipDoesNotKnow(t *testing.T) {
	c := Choose(Request{States: map[string]string{"b": Approved, "a": Approved}, Model: "yolo"})
	if len(c.Rejected) != 2 || c.Rejected[0].Node != "a" || !strings.Contains(c.Rejected[0].Reason, "not been seen") {
		t.Errorf("got %+v", c.Rejected)
	}
}

// The best of three is always asked first, and an idle fleet shares the work evenly.
func TestChooseSpreads(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	states := map[string]string{"a": Approved, "b": Approved, "c": Approved}
	count := func(view fleet.View) map[string]int {
		first := map[string]int{}
		for range 3000 {
			c := Choose(Request{View: view, States: states, Model: "yolo", Draw: rnd.IntN})
			first[c.Candidates[0].Node]++
			names := []string{}
			for _, c := range c.Candidates {
				names = append(names, c.Node)
			}
			if slices.Sort(names); !slices.Equal(names, []string{"a", "b", "c"}) {
				t.Fatalf("candidates %v, want each once", names)
			}
		}
		return first
	}
	for name, n := range count(fleet.View{node("a"), node("b"), node("c")}) {
		if n < 900 || n > 1100 {
			t.Errorf("idle fleet: %s was first %d times of 3000, want about 1000", name, n)
		}
	}
	if first := count(fleet.View{node("a", load(9, 9)), node("b"), node("c", load(1, 0))}); first["b"] != 3000 {
		t.Errorf("uneven fleet: %v, want b always", first)
	}
}

func BenchmarkChoose(b *testing.B) {
	view := fleet.View{}
	states := map[string]string{}
	for i := range 100 {
		n := node("pi-" + string(rune('a'+i%26)) + string(rune('a'+i/26)))
		view, states[n.Name] = append(view, n), Approved
	}
	for b.Loop() {
		Choose(Request{View: view, States: states, Model: "yolo", Draw: rand.IntN})
	}
}

func TestExplain(t *testing.T) {
	c := Choose(Request{
		View: fleet.View{node("a", load(1, 2)), node("b", latency(0)), node("c")}, Model: "yolo", Others: map[string]float64{"a": 2.75},
		States: map[string]string{"a": Approved, "b": Approved, "c": Approved}, Draw: drawn(0),
	})
	for i, want := range []string{
		"0 before this one, 10.0 ms each (assumed, it has not run the model yet); drawn of 2 that are about as good",
		"0 before this one, 10.0 ms each",
		"2.8 before this one, 10.0 ms each",
	} {
		if got := c.Candidates[i].Explain().Reason; got != want {
			t.Errorf("candidate %d: got %q, want %q", i, got, want)
		}
	}
}
