package helper_test

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet/beacon"
	"primespark/shared/meshnet/device"
)

// TestSwallowed has something on the way take smaller packets than it should, and say
// nothing.
func TestSwallowed(t *testing.T) {
	wanted, _ := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(40 * time.Second)
		if m := h.Facts().Get().Report.MTU; m != 1420 {
			t.Fatalf("the MTU is %d", m)
		}
		w.mu.Lock()
		w.most = 1300
		w.mu.Unlock()
		time.Sleep(time.Minute)
		if m := h.Facts().Get().Report.MTU; m != 1280 || w.state().Links[0].MTU != 1280 || w.by() != "psm0" {
			t.Errorf("the MTU is %d, the links have %d", m, w.state().Links[0].MTU)
		}
		w.mu.Lock()
		w.underlay, w.most = 1400, 0 // the host has moved to another network
		w.mu.Unlock()
		w.changed <- struct{}{}
		time.Sleep(5 * time.Second)
		if m := h.Facts().Get().Report.MTU; m != 1320 || w.state().Links[0].MTU != 1320 {
			t.Errorf("over another network the MTU is %d, the links have %d", m, w.state().Links[0].MTU)
		}
	})
}

// TestNewKeyAtZombie has the other hub answer and pass nothing on while a key changes:
// the one that carries the packets keeps them and its key, however long that takes.
func TestNewKeyAtZombie(t *testing.T) {
	wanted, at := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.shake = true
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(3 * time.Second)
		old := wanted.Ring.Newest().Private
		ring, err := wanted.Ring.Next(2)
		if err != nil {
			t.Fatal(err)
		}
		w.mu.Lock()
		w.answers = func(link string, to netip.Addr) bool { return link != "psm1" || to == at["c2"] }
		w.mu.Unlock()
		wanted.Ring = ring
		wanted.Map.Version++
		wanted.Map.Nodes = slices.Clone(wanted.Map.Nodes)
		wanted.Map.Nodes[2].Keys = ring.Public()
		h.Want(t.Context(), wanted)
		for range 300 {
			time.Sleep(100 * time.Millisecond)
			if link := w.by(); link != "psm0" || find(t, w.state(), link).Key != old {
				t.Fatalf("packets go by %s, whose key is the new one: %t", link, find(t, w.state(), link).Key != old)
			}
		}
		w.silence() // now it passes packets on
		time.Sleep(20 * time.Second)
		if g := h.Facts().Get().Generation; g != 2 {
			t.Errorf("the oldest key in use is of generation %d", g)
		}
	})
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

// hears has a host hear beacons as they are told to it.
type hears struct {
	said chan beacon.Hello
	told chan func(func(beacon.Hello, netip.AddrPort))
}

func (n hears) Say(h beacon.Hello) error {
	select {
	case n.said <- h:
	default:
	}
	return nil
}

func (n hears) Hear(ctx context.Context, heard func(beacon.Hello, netip.AddrPort)) error {
	for {
		select {
		case tell := <-n.told:
			tell(heard)
		case <-ctx.Done():
			return nil
		}
	}
}

// TestNeighbour has a member that no map says the addresses of be heard in a network of
// this host: it is tried there, and somebody else who claims to be it is not.
func TestNeighbour(t *testing.T) {
	wanted, at := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.silence(at["c1"], at["c2"]) // there is nobody to ask
		near := hears{make(chan beacon.Hello, 1), make(chan func(func(beacon.Hello, netip.AddrPort)))}
		h, end := beginNear(t, t.TempDir(), w, near)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(6 * time.Second)
		me, _ := wanted.Map.Find("pi-1")
		if said := <-near.said; said.Port != 51820 || !slices.Equal(said.Tags, []beacon.Tag{beacon.TagOf(me.Newest().Public)}) {
			t.Errorf("said %+v", said)
		}
		other, _ := wanted.Map.Find("pi-2")
		hello := beacon.Hello{Port: 4000, Tags: []beacon.Tag{beacon.TagOf(other.Newest().Public)}}
		say := func(hello beacon.Hello, from string) {
			near.told <- func(heard func(beacon.Hello, netip.AddrPort)) { heard(hello, netip.MustParseAddrPort(from)) }
			time.Sleep(2 * time.Second)
		}
		tried := func() (endpoint string) {
			for _, p := range find(t, w.state(), "psmd").Peers {
				if p.Key == other.Newest().Public && p.Endpoint.IsValid() {
					endpoint = p.Endpoint.String()
				}
			}
			return endpoint
		}
		say(beacon.Hello{Port: 4000, Tags: []beacon.Tag{{9}}}, "192.168.1.9:4000")
		if tried() != "" {
			t.Errorf("a stranger is tried, at %s", tried())
		}
		say(hello, "192.168.1.2:4000")
		if tried() != "192.168.1.2:4000" {
			t.Errorf("the member is tried at %q", tried())
		}
		say(hello, "192.168.1.66:4000")
		if tried() != "192.168.1.2:4000" {
			t.Errorf("somebody else is believed at once: %q", tried())
		}
		time.Sleep(15 * time.Second)
		say(hello, "192.168.1.66:4000") // the member has moved
		time.Sleep(31 * time.Second)
		say(hello, "192.168.1.66:4000")
		if tried() != "192.168.1.66:4000" {
			t.Errorf("it has moved, and is tried at %q", tried())
		}
	})
}

// TestHubLooks has a member go silent at a hub and answer at another one.
func TestHubLooks(t *testing.T) {
	wanted, at := fleetOf(t)
	wanted.Self = "c1"
	ring, err := mesh.NewRing()
	if err != nil {
		t.Fatal(err)
	}
	wanted.Ring = ring
	wanted.Map.Nodes[0].Keys = ring.Public()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(30 * time.Second) // nobody sends anything, and pi-1 and pi-2 answer by c2
		s := w.state()
		via := map[netip.Addr]string{}
		for _, r := range s.Routes {
			if r.To.IsSingleIP() {
				via[r.To.Addr()] = r.Link
			}
		}
		if via[at["pi-2"]] != "psmr0" || !s.Forward || !slices.Equal(s.Relays, []string{"psmr0"}) {
			t.Errorf("the routes of a hub are %v: %+v", via, s)
		}
		w.silence(slices.Collect(maps.Values(at))...)
		time.Sleep(20 * time.Second)
		if n := len(w.state().Routes); n >= len(s.Routes) {
			t.Errorf("a member that is nowhere has a route: %+v", w.state().Routes)
		}
	})
}
