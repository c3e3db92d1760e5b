package mesh_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
)

// end is when the client of sample expires.
var end = time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)

// key is a public key that a test knows by a number.
func key(n byte) (k mesh.PublicKey) {
	k[0], k[31] = n, 1
	return k
}

// sample is a map of two hubs, two agents and a phone.
func sample(cluster *identitytest.Cluster) mesh.Map {
	m := mesh.Map{
		Version: 7, Cluster: cluster.Name, Prefix: mesh.Prefix(identity.CAHash(cluster.CA)), IPv4: netip.MustParsePrefix("10.77.0.0/16"),
		Revoked: []mesh.PublicKey{key(90), key(91)}, Rotate: []mesh.Rotation{{Name: "pi-2", Generation: 3}},
	}
	node := func(role fleet.Role, name string, keys ...mesh.Key) mesh.Node {
		id := mesh.URI(m.Cluster, role, name)
		return mesh.Node{Name: name, ID: id, Role: role, Address: mesh.NodeHost(role, id).In(m.Prefix), Keys: keys}
	}
	c1 := node(fleet.Coordinator, "c1", mesh.Key{Generation: 1, Public: key(1)})
	c1.Hub, c1.Endpoints = &mesh.Hub{}, []mesh.Endpoint{{Kind: mesh.Static, Address: "hub1.example:51820"}}
	c2 := node(fleet.Coordinator, "c2", mesh.Key{Generation: 1, Public: key(2)})
	c2.Hub, c2.Endpoints = &mesh.Hub{Priority: 10}, []mesh.Endpoint{{Kind: mesh.Static, Address: "203.0.113.2:51820"}}
	pi1 := node(fleet.Agent, "pi-1", mesh.Key{Generation: 1, Public: key(3)})
	pi1.Site, pi1.IPv4, pi1.Endpoints = "barn", netip.MustParseAddr("10.77.0.1"), []mesh.Endpoint{{Kind: mesh.LAN, Address: "192.168.1.7:51820"}, {Kind: mesh.Global, Address: "[2001:db8::7]:51820"}}
	pi2 := node(fleet.Agent, "pi-2", mesh.Key{Generation: 1, Public: key(4), Until: end}, mesh.Key{Generation: 2, Public: key(5), Interface: "ps1"})
	m.Nodes = []mesh.Node{c1, c2, pi1, pi2}
	m.Clients = []mesh.Client{{Name: "phone", Address: mesh.ClientHost(m.Cluster, "phone").In(m.Prefix), Public: key(6), Expires: end}}
	return m
}

func TestMap(t *testing.T) {
	m := sample(identitytest.New(t, "home"))
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	if n, ok := m.Find("pi-1"); !ok || n.Site != "barn" {
		t.Errorf("pi-1: %+v", n)
	}
	if _, ok := m.Find("pi-3"); ok {
		t.Error("there is a pi-3")
	}
	for _, a := range []netip.Addr{m.Nodes[2].Address, netip.MustParseAddr("10.77.0.1")} {
		if n, _ := m.At(a); n.Name != "pi-1" {
			t.Errorf("at %v: %q", a, n.Name)
		}
	}
	if m.Wanted("pi-2") != 3 || m.Wanted("pi-1") != 0 {
		t.Errorf("wanted: %d of pi-2, %d of pi-1", m.Wanted("pi-2"), m.Wanted("pi-1"))
	}
	names := func() (all []string) {
		for _, h := range m.Hubs() {
			all = append(all, h.Name)
		}
		return all
	}
	if d := cmp.Diff([]string{"c2", "c1"}, names()); d != "" {
		t.Error("the hubs by priority:", d)
	}
	m.Nodes[1].Hub = &mesh.Hub{Priority: 10, Draining: true}
	if d := cmp.Diff([]string{"c1", "c2"}, names()); d != "" {
		t.Error("the hubs, one of them draining:", d)
	}
	pi2 := m.Nodes[3]
	if before, after := pi2.Good(end.Add(-time.Second)), pi2.Good(end); len(before) != 2 || len(after) != 1 || after[0].Public != key(5) || pi2.Newest().Generation != 2 {
		t.Errorf("good before and after the end of the older key: %v, %v", before, after)
	}
}

// TestCheck breaks one thing at a time.
func TestCheck(t *testing.T) {
	cluster := identitytest.New(t, "home")
	for want, breakIt := range map[string]func(*mesh.Map){
		"cluster's name":            func(m *mesh.Map) { m.Cluster = "a b" },
		"no /48":                    func(m *mesh.Map) { m.Prefix = netip.MustParsePrefix("fd00::/40") },
		"/48 of unique":             func(m *mesh.Map) { m.Prefix = netip.MustParsePrefix("2001:db8:1::/48") },
		"bits beyond":               func(m *mesh.Map) { m.IPv4 = netip.MustParsePrefix("10.77.0.1/16") },
		"revoked keys are not":      func(m *mesh.Map) { slices.Reverse(m.Revoked) },
		"order of their names":      func(m *mesh.Map) { slices.Reverse(m.Nodes) },
		"its ID is":                 func(m *mesh.Map) { m.Nodes[2].ID = m.Nodes[3].ID },
		"node URI":                  func(m *mesh.Map) { m.Nodes[2].ID = "pi-1" },
		"0 keys":                    func(m *mesh.Map) { m.Nodes[2].Keys = nil },
		"order of their gen":        func(m *mesh.Map) { slices.Reverse(m.Nodes[3].Keys) },
		"there twice":               func(m *mesh.Map) { m.Nodes[2].Keys = m.Nodes[0].Keys },
		"empty, revoked":            func(m *mesh.Map) { m.Revoked = []mesh.PublicKey{key(3)} },
		"cannot name an interface":  func(m *mesh.Map) { m.Nodes[3].Keys[1].Interface = "ps 1; reboot" },
		"cannot be a hub":           func(m *mesh.Map) { m.Nodes[0].Endpoints = nil },
		"is no coordinator":         func(m *mesh.Map) { m.Nodes[2].Hub = &mesh.Hub{} },
		"what its ID makes it":      func(m *mesh.Map) { m.Nodes[2].Address = m.Nodes[2].Address.Next() },
		"of the range":              func(m *mesh.Map) { m.Nodes[2].IPv4 = netip.MustParseAddr("10.78.0.1") },
		"its site":                  func(m *mesh.Map) { m.Nodes[2].Site = "The Barn" },
		"is of kind":                func(m *mesh.Map) { m.Nodes[2].Endpoints[0].Kind = mesh.Observed },
		"no IP address":             func(m *mesh.Map) { m.Nodes[2].Endpoints[0].Address = "pi.lan:51820" },
		"form host:port":            func(m *mesh.Map) { m.Nodes[0].Endpoints[0].Address = "hub1" },
		"inside the mesh":           func(m *mesh.Map) { m.Nodes[2].Endpoints[0].Address = "[" + m.Nodes[0].Address.String() + "]:51820" },
		"11 endpoints":              func(m *mesh.Map) { m.Nodes[2].Endpoints = make([]mesh.Endpoint, 11) },
		"name or its end":           func(m *mesh.Map) { m.Clients[0].Expires = time.Time{} },
		`client "phone": its addre`: func(m *mesh.Map) { m.Clients[0].Address = m.Nodes[0].Address },
		`client "phone": a key`:     func(m *mesh.Map) { m.Clients[0].Public = key(1) },
		"rotations are not":         func(m *mesh.Map) { m.Rotate = append(m.Rotate, m.Rotate...) },
		"more nodes, clients":       func(m *mesh.Map) { m.Nodes = make([]mesh.Node, mesh.MaxNodes+1) },
	} {
		m := sample(cluster)
		breakIt(&m)
		if err := m.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one with %q", err, want)
		}
	}
}

func TestCheckRange(t *testing.T) {
	for text, ok := range map[string]bool{
		"10.77.0.0/16": true, "192.168.77.0/24": true, "100.64.0.0/10": true,
		"10.77.0.1/16": false, "8.8.8.0/24": false, "10.0.0.0/30": false, "fd00::/48": false,
	} {
		if err := mesh.CheckRange(netip.MustParsePrefix(text)); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
