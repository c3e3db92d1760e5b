package dispatch

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"primespark/coordinator/route"
	"primespark/shared/fleet"
)

// A spread is a fleet in a world of its own time: gateways that choose as a Dispatcher
// does, agents that take 7 ms for each request, one after the other, and tell of
// their load each 400 ms, and clients that ask anew as soon as they are answered.
type spread struct {
	now      time.Duration
	next     events
	rand     *rand.Rand
	states   map[string]string
	view     fleet.View
	gateways []*flights
	queues   [][]func() // of each agent, the first at work
	answers  int
}

const (
	paceOfAgent = 7 * time.Millisecond
	telling     = 400 * time.Millisecond
	oneWay      = 500 * time.Microsecond // one way between gateway and agent
)

type event struct {
	at time.Duration
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *spread) after(d time.Duration, do func()) { heap.Push(&s.next, event{s.now + d, do}) }

// rate is how many answers a second so many clients get in all.
func rate(gateways, agents, clients int, seed uint64) float64 {
	s := &spread{rand: rand.New(rand.NewPCG(seed, 0)), states: map[string]string{}, queues: make([][]func(), agents)}
	for i := range agents {
		name := fmt.Sprintf("pi-%d", i+1)
		s.states[name] = route.Approved
		s.view = append(s.view, fleet.Node{
			Member: fleet.Member{Name: name, Role: fleet.Agent, API: name + ":7490"}, Liveness: fleet.Alive,
			Vital: fleet.Vital{Node: name, Seq: 1, Ready: true, Models: []fleet.Serving{{Name: "m", Millis: 7 + s.rand.Float64()/2}}},
		})
		s.after(telling*time.Duration(i+1)/time.Duration(agents), func() { s.tell(i) })
	}
	for range gateways {
		s.gateways = append(s.gateways, &flights{})
	}
	for i := range clients {
		s.after(time.Duration(i)*time.Millisecond, func() { s.ask(s.gateways[i%gateways]) })
	}
	const begin, end = time.Second, 3 * time.Second
	before := 0
	for s.now < end {
		e := heap.Pop(&s.next).(event)
		if s.now < begin && e.at >= begin {
			before = s.answers
		}
		s.now = e.at
		e.do()
	}
	return float64(s.answers-before) / (end - begin).Seconds()
}

// tell has an agent say what its load is, and the gateways hear it a little later.
func (s *spread) tell(agent int) {
	view := append(fleet.View(nil), s.view...)
	v := &view[agent].Vital
	v.Seq++
	v.InFlight, v.Queue = min(1, len(s.queues[agent])), max(0, len(s.queues[agent])-1)
	s.view = view
	s.after(oneWay, func() {
		for _, g := range s.gateways {
			g.observe(s.view)
		}
	})
	s.after(telling, func() { s.tell(agent) })
}

// ask sends a request through a gateway, and another one when it is answered.
func (s *spread) ask(g *flights) {
	c := route.Choose(route.Request{View: s.view, States: s.states, Model: "m", Draw: s.rand.IntN, Sent: g.sent(), Others: g.others(time.Time{})})
	node := c.Candidates[0].Node
	landed := g.start(node, func(error) {})
	agent := 0
	for s.view[agent].Name != node {
		agent++
	}
	answered := func() {
		s.answers++
		s.after(oneWay, func() { landed(); s.ask(g) })
	}
	s.after(oneWay, func() {
		s.queues[agent] = append(s.queues[agent], answered)
		if len(s.queues[agent]) == 1 {
			s.work(agent)
		}
	})
}

func (s *spread) work(agent int) {
	s.after(paceOfAgent, func() {
		done := s.queues[agent][0]
		if s.queues[agent] = s.queues[agent][1:]; len(s.queues[agent]) > 0 {
			s.work(agent)
		}
		done()
	})
}

// TestSpread has N agents answer at least 0.9 × N times as much as one does, with as
// many clients for each agent, through one gateway and through three.
func TestSpread(t *testing.T) {
	for _, test := range []struct{ gateways, clients int }{{1, 1}, {1, 2}, {1, 3}, {1, 8}, {3, 3}, {3, 8}} {
		alone := rate(test.gateways, 1, test.clients, 1)
		for _, agents := range []int{2, 4, 6} {
			got := rate(test.gateways, agents, test.clients*agents, 7) / alone
			t.Logf("%d gateways, %d clients for each of %d agents: %.2f times as much as one", test.gateways, test.clients, agents, got)
			if got < 0.9*float64(agents) {
				t.Errorf("%d gateways, %d clients for each of %d agents: %.2f times as much as one, want %.1f", test.gateways, test.clients, agents, got, 0.9*float64(agents))
			}
		}
	}
}
