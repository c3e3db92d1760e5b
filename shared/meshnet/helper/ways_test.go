package helper_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/mesh"
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
