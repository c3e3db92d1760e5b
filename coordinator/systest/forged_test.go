package systest_test

import (
	"errors"
	"maps"
	"math"
	"net"
	"slices"
	"testing"
	"time"

	"primespark/coordinator/systest"
	"primespark/shared/fleet"
	"primespark/shared/task"
	"primespark/shared/wire"
)

// A lie is one round of forged gossip to a node at an address, by a legitimate
// agent that has turned bad: it has the key.
type lie func(l *liar, to string) error

// A liar tells lies to all nodes, ten times a second.
type liar struct {
	*systest.Fleet
	round uint32
	name  string
}

// forged is a record as gossip passes it on.
type forged struct {
	fleet.Vital
	Left bool `json:"left,omitempty"`
}

// newest is a boot that outdoes each honest one.
func newest() int64 { return time.Now().Add(1000 * time.Hour).UnixNano() }

var lies = map[string]lie{
	"agents are dead": func(l *liar, to string) error {
		return l.Forger("pi-3").Dead(to, "pi-1", "pi-3", 1<<30+l.round)
	},
	"agents and coordinators left": func(l *liar, to string) error {
		f := l.Forger("pi-3")
		for _, name := range []string{"pi-1", "pi-2", "c1", "c2", "c3"} {
			if err := f.Dead(to, name, name, 1<<30+l.round); err != nil {
				return err
			}
			if err := f.Say(to, forged{Vital: fleet.Vital{Node: name, Boot: newest(), Seq: uint64(l.round)}, Left: true}); err != nil {
				return err
			}
		}
		return nil
	},
	"coordinators are dead": func(l *liar, to string) error {
		for _, name := range []string{"c1", "c2", "c3"} {
			if err := l.Forger("pi-3").Dead(to, name, "pi-3", 1<<30+l.round); err != nil {
				return err
			}
		}
		return nil
	},
	"agents are not ready": func(l *liar, to string) error {
		for _, name := range []string{"pi-1", "pi-2"} {
			if err := l.Forger("pi-3").Say(to, forged{Vital: fleet.Vital{Node: name, Boot: newest(), Seq: uint64(l.round), Reasons: []string{"draining"}}}); err != nil {
				return err
			}
		}
		return nil
	},
	"agents have absurd figures": func(l *liar, to string) error {
		return l.Forger("pi-3").Say(to, forged{Vital: fleet.Vital{
			Node: "pi-1", Boot: newest(), Seq: uint64(l.round), Ready: true, Queue: math.MaxInt32, InFlight: math.MaxInt32, CPU: 1e300,
			Models: []fleet.Serving{{Name: systest.Model, Version: "1", Millis: 1e300}},
		}})
	},
	"agents are elsewhere": func(l *liar, to string) error {
		for _, name := range []string{"pi-1", "pi-2"} {
			m := fleet.Member{Name: name, Role: fleet.Agent, API: "10.77.9.8:7490"}
			if err := l.Forger("pi-3").Alive(to, m, net.ParseIP(hostOf(l.GossipOf(name))), 7482, 1<<30+l.round); err != nil {
				return err
			}
		}
		return nil
	},
	"I am a coordinator": func(l *liar, to string) error {
		f := l.Forger("pi-3")
		m := fleet.Member{Name: "c9", Role: fleet.Coordinator, API: "10.77.9.8:7480", Raft: "10.77.9.8:7481"}
		if err := f.Alive(to, m, net.IPv4(10, 77, 9, 8), 7482, 1<<30+l.round); err != nil {
			return err
		}
		return f.Say(to, forged{Vital: fleet.Vital{Node: "c9", Boot: newest(), Seq: uint64(l.round), Mode: fleet.Normal, Ready: true}})
	},
}

// allLies tells every one of them each time.
func allLies(l *liar, to string) error {
	var failed error
	for _, name := range slices.Sorted(maps.Keys(lies)) {
		failed = errors.Join(failed, lies[name](l, to))
	}
	return failed
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	return host
}

// tell lies until stop is called.
func (l *liar) tell(t *testing.T, what lie) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			l.round++
			for _, name := range []string{"c1", "c2", "c3", "pi-1", "pi-2"} {
				if err := what(l, l.GossipOf(name)); err != nil {
					t.Logf("a lie was not told: %v", err) // the buffer was full
				}
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// TestForgedGossipChangesNoDecision has an agent that turned bad lie for ten
// seconds: both other agents stay in routing, with their own word about themselves
// and at their own addresses, their leases stay theirs, the coordinators stay who they
// are, and the readiness of all is as it was. Under the race detector, which looks at
// the code and not at the decisions, all lies are told to one fleet.
func TestForgedGossipChangesNoDecision(t *testing.T) {
	told := lies
	if raced {
		told = map[string]lie{"all of it": allLies}
	}
	for name, what := range told {
		t.Run(name, func(t *testing.T) {
			systest.Test(t, 3, 3, func(t *testing.T, f *systest.Fleet) {
				status := f.WaitHealthy(3, 3)
				time.Sleep(20 * time.Second)
				f.Kill("pi-3")
				o := office{t, f.Via("c1", "c2", "c3")}
				defer o.Close()
				becomes(t, o.Client, "pi-3", fleet.Dead, known)
				work := o.submit(noop(15*time.Second, ""))
				held, _ := o.until(work.ID, "leased", 15*time.Second, leased)

				l := &liar{Fleet: f, name: "pi-3"}
				defer l.tell(t, what)()
				for range 10 {
					time.Sleep(time.Second)
					for _, via := range []string{"c1", "c2", "c3"} {
						c := f.Via(via)
						calm(t, c, via, status)
						c.Close()
					}
					if t.Failed() {
						return
					}
				}
				if node, _, err := o.Photo(5 * time.Second); err != nil || node != "pi-1" && node != "pi-2" {
					t.Errorf("photo by %q, %v", node, err)
				}
				if got, _ := o.until(work.ID, "done", time.Minute, ended); got.State != task.Done || got.Lease != held.Lease || got.Attempts != 1 {
					t.Errorf("the task ended %s after %d attempts", got.State, got.Attempts)
				}
				next := o.submit(noop(time.Second, ""))
				if _, took := o.until(next.ID, "done", time.Minute, ended); took > 10*time.Second {
					t.Errorf("a task took %v: the agents do not ask for work", took)
				}
			})
		})
	}
}

// calm checks that a coordinator's decisions are what they were.
func calm(t *testing.T, c *systest.Client, via string, was wire.StatusBody) {
	t.Helper()
	c.Stale = true
	route, err := c.Route(t.Context(), systest.Model)
	if err != nil || len(route.Candidates) != 2 {
		t.Errorf("%s would ask %+v and not %+v, %v", via, route.Candidates, route.Rejected, err)
	}
	for _, candidate := range route.Candidates {
		if candidate.Terms["queue"] > 10 || candidate.Terms["latency_ms"] > 1e6 {
			t.Errorf("%s counts with %+v", via, candidate)
		}
	}
	s, err := c.Status(t.Context())
	if err != nil || s.Leader != was.Leader || s.Term != was.Term || len(s.Coordinators) != 3 || s.Mode != fleet.Normal || s.Summary.AgentsHealthy != 2 || s.Summary.QuorumHave != 3 {
		t.Errorf("%s shows %+v, %v", via, s, err)
	}
	for _, name := range []string{"pi-1", "pi-2"} {
		n, err := c.Node(t.Context(), name)
		if err != nil || n.Liveness != fleet.Alive || !n.Ready || len(n.Reasons) > 0 || n.CPU > 1 || hostOf(n.Addresses["api"]) == "10.77.9.8" {
			t.Errorf("%s shows of %s: %+v, %v", via, name, n, err)
		}
	}
	nodes, err := c.Nodes(t.Context())
	if err != nil || len(nodes) != 6 {
		t.Errorf("%s shows %d nodes, %v", via, len(nodes), err)
	}
}
