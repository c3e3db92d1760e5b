package atlas

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/coordinator/fsm"
	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A lab is an atlas of a state that the test changes.
type lab struct {
	*Atlas
	t       *testing.T
	cluster *identitytest.Cluster
	state   *watch.Value[fsm.State]
	reports *watch.Value[map[string]mesh.Report]
	lost    atomic.Bool
}

func (l *lab) State() (fsm.State, <-chan struct{}) { return l.state.Load() }

func key(n byte) mesh.PublicKey { return mesh.PublicKey{n, 31: 1} }

func newLab(t *testing.T) *lab {
	l := &lab{t: t, cluster: identitytest.New(t, "home"), reports: watch.New(map[string]mesh.Report{})}
	l.state = watch.New(fsm.State{
		Cluster: fsm.Cluster{Name: "home"},
		Nodes:   map[string]fsm.Node{"c1": {Name: "c1", Role: fleet.Coordinator, State: fsm.Approved}, "pi-1": {Name: "pi-1", Role: fleet.Agent, State: fsm.Approved}},
	})
	l.Atlas = New(Config{
		Group: l, Signer: l.cluster.Signer(), Prefix: mesh.Prefix(identity.CAHash(l.cluster.CA)),
		Reports: l.reports.Get, Lost: l.lost.Load,
	})
	return l
}

// take puts a node into the mesh, in a version.
func (l *lab) take(version uint64, name string) {
	l.state.Update(func(s fsm.State) fsm.State {
		nodes := map[string]fsm.MeshNode{name: {Keys: []mesh.Key{{Generation: version, Public: key(byte(version))}}}}
		for other, n := range s.Mesh.Nodes {
			if other != name {
				nodes[other] = n
			}
		}
		s.Mesh.Version, s.Mesh.Nodes = version, nodes
		return s
	})
}

// ask waits for the map, and tells how long that took.
func (l *lab) ask(version uint64, sum string, then func()) (wire.MeshBody, time.Duration, error) {
	begin := time.Now()
	if then != nil {
		go func() { time.Sleep(10 * time.Second); then() }()
	}
	b, err := l.Mesh(l.t.Context(), version, sum, time.Minute)
	return b, time.Since(begin), err
}

func TestMeshWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		if b, took, err := l.ask(0, "", nil); err != nil || b.Version != 0 || took != time.Minute {
			t.Errorf("nobody takes part: %+v after %v, %v", b, took, err)
		}
		b, took, err := l.ask(0, "", func() { l.take(5, "pi-1") })
		if err != nil || took < 10*time.Second || took > 11*time.Second {
			t.Fatalf("the first: after %v, %v", took, err)
		}
		m, err := b.Open(l.cluster.CA, "home", 0)
		if err != nil || m.Version != 5 || b.Version != 5 || len(m.Nodes) != 1 {
			t.Errorf("%+v, %v", m, err)
		}
		again, _, err := l.ask(4, "", nil)
		if err != nil || string(again.Signature) != string(b.Signature) {
			t.Errorf("a version was signed twice, %v", err)
		}
		// Whoever has a newer one, from before a restore, waits for that to be overtaken.
		if b, took, err := l.ask(6, "", func() { l.take(7, "c1") }); err != nil || took < 10*time.Second || b.Version != 7 {
			t.Errorf("ahead: version %d after %v, %v", b.Version, took, err)
		}
		// Hints end a poll without a new map.
		b, took, err = l.ask(7, "", func() {
			l.reports.Store(map[string]mesh.Report{"c1": {Sightings: []mesh.Sighting{{Node: "pi-1", Endpoint: "203.0.113.7:4711"}}}})
		})
		if err != nil || took < 10*time.Second || took > 20*time.Second || len(b.Hints) != 1 || b.Hints[0].Hub != "c1" {
			t.Errorf("hints: %+v after %v, %v", b.Hints, took, err)
		}
		if b, took, _ := l.ask(7, b.Sum, nil); took != time.Minute || len(b.Hints) != 1 {
			t.Errorf("the same hints: after %v", took)
		}
		if _, took, err := l.ask(7, b.Sum, func() { l.lost.Store(true) }); !problem.Is(err, problem.NoQuorum) || took > 12*time.Second {
			t.Errorf("the group is lost: after %v, %v", took, err)
		}
	})
}

func TestMeshEndsWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := l.Mesh(ctx, 0, "", time.Minute); err != nil || time.Since(begin) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

func TestView(t *testing.T) {
	l := newLab(t)
	l.take(5, "pi-1")
	s := l.state.Get()
	s.Mesh.Clients = map[string]fsm.MeshClient{"phone": {Public: key(9), By: "token:ada", Expires: time.Now().Add(time.Hour)}}
	l.reports.Store(map[string]mesh.Report{"pi-1": {Version: 4, Hub: "c1"}})
	v := l.View(s, fleet.View{{Member: fleet.Member{Name: "pi-1"}, Liveness: fleet.Alive}}, time.Now())
	if len(v.Nodes) != 1 || v.Nodes[0].Report.Version != 4 || v.Nodes[0].Liveness != fleet.Alive || v.Nodes[0].Generation != 5 || v.Nodes[0].Keys != 1 {
		t.Errorf("nodes %+v", v.Nodes)
	}
	if len(v.Clients) != 1 || v.Clients[0].By != "token:ada" || v.Clients[0].Address != mesh.ClientHost("home", "phone").In(v.Prefix) {
		t.Errorf("clients %+v", v.Clients)
	}
	if len(v.Outside) != 1 || v.Outside[0] != "c1" {
		t.Errorf("outside: %v", v.Outside)
	}
}
