package helper_test

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/device"
)

// together is the wishes of the coordinator c1 and the agent pi-1 of one host, in a map
// of theirs and of c2 and pi-2.
func together(t *testing.T) (hub, agent meshnet.Wanted, at map[string]netip.Addr) {
	t.Helper()
	agent, at = fleetOf(t)
	agent.Ports = meshnet.Ports{API: 7490, Gossip: 7483}
	ring, err := mesh.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	agent.Map.Nodes[0].Keys = ring.Public()
	hub = meshnet.Wanted{Self: "c1", Map: agent.Map, Ring: ring, Ports: meshnet.Ports{API: 7480, Raft: 7481, Gossip: 7482}}
	return hub, agent, at
}

// told is a wish after the map was told that pi-1 is a guest of c1.
func told(w meshnet.Wanted) meshnet.Wanted {
	w.Map.Version++
	w.Map.Nodes = slices.Clone(w.Map.Nodes)
	w.Map.Nodes[2].Host = "c1"
	return w
}

// has reports whether a link has an address.
func has(s device.State, link string, a netip.Addr) bool {
	return slices.ContainsFunc(s.Links, func(l device.Link) bool { return l.Name == link && slices.Contains(l.Addresses, a) })
}

// TestGuest has an agent and a coordinator on one host, in either order: the agent
// uses the hub's tunnels, and has its own when the hub is gone from the host.
func TestGuest(t *testing.T) {
	hub, agent, at := together(t)
	dir := t.TempDir()
	var left device.State
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, dir, w)
		defer end()
		h.Want(t.Context(), agent)
		time.Sleep(2 * time.Second)
		if f := h.Facts().Get(); f.Self != "pi-1" || !has(w.state(), "psm0", at["pi-1"]) {
			t.Fatalf("alone, the agent has no tunnels of its own: %+v", f)
		}
		h.Want(t.Context(), hub)
		time.Sleep(2 * time.Second)
		f := h.Facts().Get()
		if g := f.For("pi-1"); f.Self != "c1" || g.Self != "pi-1" || g.Host != "c1" || g.Report.Hub != "c1" || g.Check() != nil {
			t.Errorf("the place is that of %s, and the agent hears %+v", f.Self, g)
		}
		s := w.state()
		if !has(s, "psmh", at["c1"]) || !has(s, "psmh", at["pi-1"]) || s.Links[0].Addresses[0] != at["c1"] || slices.ContainsFunc(s.Links, func(l device.Link) bool { return l.Name == "psm0" }) {
			t.Errorf("the links are %+v", s.Links)
		}
		for _, port := range []uint16{7480, 7481, 7482, 7483, 7490} {
			if !slices.ContainsFunc(s.Firewall, func(g device.Grant) bool { return slices.Contains(g.TCP, port) }) {
				t.Errorf("nobody may connect to %d", port)
			}
		}
		for _, l := range s.Links {
			for _, p := range l.Peers {
				if p.Key == agent.Ring.Newest().Private.Public() {
					t.Errorf("%s has a tunnel to this very host", l.Name)
				}
			}
		}
		h.Want(t.Context(), told(agent)) // the agent hears of the newer map first
		time.Sleep(2 * time.Second)
		if v := h.Facts().Get().Report.Version; v != agent.Map.Version+1 {
			t.Errorf("map %d is in force", v)
		}
		left = w.state()
	})
	synctest.Test(t, func(t *testing.T) { // the program is replaced
		w := newWorld()
		w.applied = []device.State{left}
		h, end := begin(t, dir, w)
		defer end()
		time.Sleep(2 * time.Second)
		if f := h.Facts().Get(); f.Self != "c1" || !slices.Equal(f.Guests, []string{"pi-1"}) || !has(w.state(), "psmh", at["pi-1"]) {
			t.Errorf("after a restart: %+v", f)
		}
		h.Want(t.Context(), meshnet.Wanted{Self: "c1", Leave: true})
		time.Sleep(2 * time.Second)
		h.Want(t.Context(), told(agent))
		time.Sleep(2 * time.Second)
		if f := h.Facts().Get(); f.Self != "pi-1" || f.Host != "" || !has(w.state(), "psm0", at["pi-1"]) {
			t.Errorf("the coordinator has left, and the agent has no tunnels: %+v", f)
		}
		h.Want(t.Context(), meshnet.Wanted{Self: "pi-1", Leave: true})
		time.Sleep(2 * time.Second)
		if s := w.state(); len(s.Links)+len(s.Routes)+len(s.Prefixes) > 0 {
			t.Errorf("both have left, and there are %+v", s)
		}
	})
}

// TestGuestWaits boots a host whose agent calls first: it gives its coordinator time to
// call, and goes on without it if that does not.
func TestGuestWaits(t *testing.T) {
	hub, agent, at := together(t)
	for name, calls := range map[string]bool{"it calls": true, "it does not": false} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				h, end := begin(t, dir, w)
				defer end()
				h.Want(t.Context(), told(agent))
				time.Sleep(10 * time.Second)
				if s := w.state(); len(s.Links) > 0 {
					t.Errorf("the agent did not wait: %+v", s.Links)
				}
				want := "pi-1"
				if calls {
					want = "c1"
					h.Want(t.Context(), told(hub))
				}
				time.Sleep(12 * time.Second)
				if f := h.Facts().Get(); f.Self != want || !has(w.state(), "psmh", at["pi-1"]) && !has(w.state(), "psm0", at["pi-1"]) {
					t.Errorf("the place is that of %q", f.Self)
				}
			})
		})
	}
}

// TestOthersGuest is the view of pi-2, when pi-1 is a guest of the hub c1, and of c2
// when it is one of pi-2: it is reached by its host, and has no tunnel.
func TestOthersGuest(t *testing.T) {
	_, agent, at := together(t)
	pi1 := agent.Ring.Newest().Private.Public()
	for self, host := range map[string]string{"pi-2": "c1", "c2": "pi-2"} {
		t.Run(self+" and the guest of "+host, func(t *testing.T) {
			w := meshnet.Wanted{Self: self, Map: told(agent).Map}
			w.Map.Nodes[2].Host = host
			for i := range w.Map.Nodes {
				if w.Map.Nodes[i].Name == self {
					ring, err := mesh.NewRing()
					if err != nil {
						t.Fatal(err)
					}
					w.Ring, w.Map.Nodes[i].Keys = ring, ring.Public()
				}
			}
			if err := w.Check(); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				world := newWorld()
				h, end := begin(t, dir, world)
				defer end()
				h.Want(t.Context(), w)
				time.Sleep(4 * time.Second)
				s := world.state()
				alone := netip.PrefixFrom(at["pi-1"], 128)
				if !slices.ContainsFunc(s.Routes, func(r device.Route) bool { return r.To == alone }) && self == "pi-2" {
					t.Errorf("no route to the guest: %+v", s.Routes)
				}
				carries := false
				for _, l := range s.Links {
					for _, p := range l.Peers {
						if p.Key == pi1 {
							t.Errorf("%s has a tunnel to the guest", l.Name)
						}
						carries = carries || slices.Contains(p.Allowed, alone)
					}
				}
				if self == "c2" && !carries {
					t.Error("no tunnel carries the guest's packets")
				}
				for _, l := range h.Facts().Get().Report.Links {
					if l.Peer == "pi-1" && l.Via != host {
						t.Errorf("the guest is reached by %+v", l)
					}
				}
			})
		})
	}
}
