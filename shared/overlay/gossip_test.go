package overlay

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/identity"
	"primespark/shared/mesh"
)

// slow is tunnels over a satellite.
type slow struct{}

func (slow) Report() mesh.Report {
	return mesh.Report{Links: []mesh.Link{{Peer: "c1", Up: true, RTT: 600}, {Peer: "c2", RTT: 9000}, {Peer: "pi-2", Via: "c1", Up: true, RTT: 1200}}}
}
func (slow) Settled(uint64) bool  { return false }
func (slow) Host() (string, bool) { return "", true }

func TestGossipInTheMesh(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m, stop := l.start()
		defer stop()
		time.Sleep(time.Second)
		own := Address(identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}, l.cluster.CA)
		self, ok := m.Net().Get().Map.Find("pi-1")
		if !ok || self.Address != own {
			t.Fatalf("the address in the map is %v, and %v was computed", self.Address, own)
		}
		for _, test := range []struct {
			who  fleet.Member
			at   netip.Addr
			good bool
		}{
			{fleet.Member{Name: "pi-1", Role: fleet.Agent}, own, true},
			{fleet.Member{Name: "pi-1", Role: fleet.Coordinator}, own, false},
			{fleet.Member{Name: "pi-1", Role: fleet.Agent}, netip.MustParseAddr("192.168.1.7"), false},
			{fleet.Member{Name: "pi-2", Role: fleet.Agent}, own, false},
		} {
			if err := m.Admit(test.who, test.at); (err == nil) != test.good {
				t.Errorf("%+v at %v: %v", test.who, test.at, err)
			}
		}
		l.set(func(m *mesh.Map) {
			id := mesh.URI("home", fleet.Coordinator, "c1")
			m.Nodes = append([]mesh.Node{{Name: "c1", ID: id, Role: fleet.Coordinator, Address: mesh.NodeHost(fleet.Coordinator, id).In(m.Prefix), Keys: []mesh.Key{{Generation: 1, Public: mesh.PublicKey{1}}}}}, m.Nodes...)
		})
		time.Sleep(time.Second)
		c := gossip.Config{Seeds: func() []string { return []string{"old:7482"} }}
		m.Gossip(&c, ":7500")
		c1, _ := m.Net().Get().Map.Find("c1")
		if want := []string{"[" + c1.Address.String() + "]:7500", "old:7482"}; c.Bind != "["+own.String()+"]:7500" || !c.Late || !slices.Equal(c.Seeds(), want) {
			t.Errorf("%+v, seeds %v", c, c.Seeds())
		}
		if got := c.RTT(); got != 0 {
			t.Errorf("nothing measured, and %v", got)
		}
		m.Attach(slow{})
		if got := c.RTT(); got != 600*time.Millisecond {
			t.Errorf("to the hub that answers: %v", got)
		}
	})
}
