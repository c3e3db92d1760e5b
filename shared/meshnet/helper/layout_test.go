package helper

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
)

// view is that of pi-1 in a mesh of two hubs, two edges and a phone.
func view(t *testing.T, self string) Node {
	t.Helper()
	ring, err := mesh.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := Node{
		Self: self, Stem: "psm", Ring: ring, Port: 51820, MTU: 1420, Active: "c2", Now: now, Ports: []meshnet.Ports{{API: 7480, Raft: 7481, Gossip: 7482}},
		Index: map[string]int{"c1": 0, "c2": 1}, Keys: map[string]uint64{}, Direct: map[string]*choice.Direct{}, Via: map[string]string{},
		Hubs: map[string]Reach{"c1": {At: netip.MustParseAddr("192.0.2.1"), Port: 51820, Up: true}, "c2": {At: netip.MustParseAddr("192.0.2.2"), Port: 4000}},
		Map:  mesh.Map{Version: 1, Cluster: "home", Prefix: netip.MustParsePrefix("fd12:3456:789a::/48")},
	}
	delete(n.Index, self)
	for _, name := range []string{"c1", "c2", "pi-1", "pi-2"} {
		other, err := mesh.NewRing()
		if err != nil {
			t.Fatal(err)
		}
		m := mesh.Node{Name: name, Role: fleet.Agent, Keys: other.Public()}
		if name == self {
			m.Keys = ring.Public()
		}
		if name < "d" {
			m.Role, m.Hub, m.Endpoints = fleet.Coordinator, &mesh.Hub{}, []mesh.Endpoint{{Kind: mesh.Static, Address: "192.0.2.1:51820"}}
		}
		m.ID = mesh.URI("home", m.Role, name)
		m.Address = mesh.NodeHost(m.Role, m.ID).In(n.Map.Prefix)
		n.Map.Nodes = append(n.Map.Nodes, m)
	}
	for name, expires := range map[string]time.Time{"phone": now.Add(time.Hour), "tablet": now} {
		other, err := mesh.NewRing()
		if err != nil {
			t.Fatal(err)
		}
		n.Map.Clients = append(n.Map.Clients, mesh.Client{Name: name, Address: mesh.ClientHost("home", name).In(n.Map.Prefix), Public: other.Newest().Private.Public(), Expires: expires})
	}
	slices.SortFunc(n.Map.Clients, func(a, b mesh.Client) int { return len(a.Name) - len(b.Name) })
	if err := n.Map.Check(); err != nil {
		t.Fatal(err)
	}
	return n
}

func find(t *testing.T, s device.State, name string) device.Link {
	t.Helper()
	for _, l := range s.Links {
		if l.Name == name {
			return l
		}
	}
	t.Fatalf("there is no link %s: %+v", name, s.Links)
	return device.Link{}
}

func TestSpoke(t *testing.T) {
	n := view(t, "pi-1")
	s := n.Layout()
	if len(s.Links) != 3 || s.Forward {
		t.Fatalf("%+v", s)
	}
	for hub, want := range map[string]string{"psm0": "192.0.2.1:51820", "psm1": "192.0.2.2:4000"} {
		l := find(t, s, hub)
		if p := l.Peers[0]; len(l.Peers) != 1 || p.Endpoint.String() != want || !slices.Equal(p.Allowed, s.Prefixes) || l.Key != n.Ring.Newest().Private {
			t.Errorf("%s: %+v", hub, l)
		}
	}
	// The hubs' second ports see where direct tunnels would come from; nothing is sent there.
	for _, p := range find(t, s, "psmd").Peers {
		if len(p.Allowed) > 0 || p.Endpoint.Port()%10 != 1 {
			t.Errorf("the link for direct paths has %+v", p)
		}
	}
	active := 0
	for _, r := range s.Routes {
		if r.Metric == metricActive {
			active++
			if r.Link != "psm1" {
				t.Errorf("packets go by %s", r.Link)
			}
		}
	}
	if active != 1 {
		t.Errorf("%d routes count", active)
	}
}

// TestBeforeHandshake: a direct peer has no addresses before a tunnel to it stands,
// and no route before packets pass.
func TestBeforeHandshake(t *testing.T) {
	n := view(t, "pi-1")
	other, _ := n.Map.Find("pi-2")
	d := &choice.Direct{}
	n.Direct["pi-2"] = d
	d.Candidates([]netip.AddrPort{netip.MustParseAddrPort("192.168.1.2:51820")}, n.Now)
	count := func() (allowed, aside, routes int) {
		s := n.Layout()
		for _, p := range find(t, s, "psmd").Peers {
			allowed += len(p.Allowed)
		}
		for _, r := range s.Routes {
			switch {
			case r.Link != "psmd":
			case r.Aside:
				aside++
			default:
				routes++
			}
		}
		if !slices.Equal(s.Probed, []string{"psmd"}) {
			t.Errorf("probed are %v", s.Probed)
		}
		return allowed, aside, routes
	}
	for _, step := range []struct {
		stage                  choice.Stage
		handshake              time.Time
		allowed, aside, routes int
	}{
		{choice.Trying, time.Time{}, 0, 0, 0},
		{choice.Proving, n.Now, 1, 1, 0},
	} {
		if got := d.Step(step.handshake, n.Now); got != step.stage {
			t.Fatalf("stage %v, not %v", got, step.stage)
		}
		if a, b, c := count(); a != step.allowed || b != step.aside || c != step.routes {
			t.Errorf("stage %v: %d addresses, %d routes for probes, %d for all", step.stage, a, b, c)
		}
	}
	for range 2 {
		d.Answer(n.Now, time.Millisecond, true)
	}
	d.Step(n.Now, n.Now)
	if a, b, c := count(); a != 1 || b != 1 || c != 1 {
		t.Errorf("used: %d addresses, %d routes for probes, %d for all", a, b, c)
	}
	if find(t, n.Layout(), "psmd").Peers[2].Key != other.Newest().Public {
		t.Error("the peer is another one")
	}
}

func TestHub(t *testing.T) {
	n := view(t, "c1")
	n.Via["pi-2"] = "c2"
	s := n.Layout()
	members := find(t, s, "psmh")
	if len(members.Peers) != 3 || members.Port != 51820 || !s.Forward { // two edges and the phone; the tablet has expired
		t.Errorf("members: %+v", members)
	}
	for _, p := range members.Peers {
		if len(p.Allowed) != 1 || p.Allowed[0].Bits() != 128 {
			t.Errorf("a member may send as %v", p.Allowed)
		}
	}
	for _, p := range find(t, s, "psmo").Peers {
		if len(p.Allowed) != 0 {
			t.Errorf("what only looks accepts %v", p.Allowed)
		}
	}
	relay := find(t, s, "psmr1")
	if relay.Port != 51820+relayPort+1 || relay.Peers[0].Endpoint.Port() != 4000+relayPort || !slices.Equal(s.Relays, []string{"psmr1"}) {
		t.Errorf("relay: %+v, %v", relay, s.Relays)
	}
	pi2, _ := n.Map.Find("pi-2")
	if !slices.ContainsFunc(s.Routes, func(r device.Route) bool { return r.To.Addr() == pi2.Address && r.Link == "psmr1" && !r.Aside }) {
		t.Errorf("no way to a member that is at the other hub: %+v", s.Routes)
	}
	if slices.ContainsFunc(s.Routes, func(r device.Route) bool { return r.Aside && r.Link == "psmr1" }) {
		t.Error("what came from a hub goes to a hub again")
	}
	var raft []netip.Prefix
	for _, g := range s.Firewall {
		if slices.Contains(g.TCP, 7481) {
			raft = append(raft, g.From...)
		}
	}
	if want := mesh.Subnet(n.Map.Prefix, fleet.Coordinator); !slices.Equal(raft, []netip.Prefix{want}) {
		t.Errorf("raft is open to %v, not to %v", raft, want)
	}
}

// TestIPv4: a mesh with a range of it sends both families, and a node that came when
// the range was used up has the other one; nobody falls over it.
func TestIPv4(t *testing.T) {
	for self, without := range map[string]string{"pi-1": "", "pi-2": "pi-2", "c1": "pi-1", "c2": "c2"} {
		n := view(t, self)
		n.Map.IPv4 = netip.MustParsePrefix("10.77.0.0/16")
		a := n.Map.IPv4.Addr()
		for i := range n.Map.Nodes {
			if a = a.Next(); n.Map.Nodes[i].Name != without {
				n.Map.Nodes[i].IPv4 = a
			}
		}
		if err := n.Map.Check(); err != nil {
			t.Fatal(err)
		}
		s := n.Layout()
		families := map[bool]int{}
		for _, r := range s.Routes {
			if r.To.Addr().Is4() != r.Source.Is4() {
				t.Errorf("%s sends to %v from %v", self, r.To, r.Source)
			}
			families[r.To.Addr().Is4()]++
		}
		if got := families[true] > 0; got != (self != without) || families[false] == 0 {
			t.Errorf("%s, with %q without an address: %d routes of IPv4 and %d of IPv6", self, without, families[true], families[false])
		}
	}
}

// TestTwoKeys: both keys of a member that changes its key are good, and packets go
// to the one that shook hands last.
func TestTwoKeys(t *testing.T) {
	n := view(t, "c1")
	ring, err := mesh.NewRing()
	if err == nil {
		ring, err = ring.Next(2)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.Map.Nodes[2].Keys = ring.Public()
	old, fresh := ring.Public()[0].Public, ring.Public()[1].Public
	allowed := func(k mesh.PublicKey) int {
		for _, p := range find(t, n.Layout(), "psmh").Peers {
			if p.Key == k {
				return len(p.Allowed)
			}
		}
		t.Fatal("no such peer")
		return 0
	}
	n.Latest = map[mesh.PublicKey]time.Time{old: n.Now}
	if allowed(old) != 1 || allowed(fresh) != 0 {
		t.Error("the new key counts before it was used")
	}
	n.Latest[fresh] = n.Now.Add(time.Second)
	if allowed(old) != 0 || allowed(fresh) != 1 {
		t.Error("the new key was used, and the old one counts")
	}
}

func TestMTU(t *testing.T) {
	for underlay, want := range map[int]int{0: 1280, 1280: 1280, 1400: 1320, 1492: 1412, 1500: 1420, 9000: 1420} {
		if got := MTU(underlay); got != want {
			t.Errorf("over %d bytes: %d, not %d", underlay, got, want)
		}
	}
}
