package helper_test

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
	"primespark/shared/meshnet/helper"
)

// A world is a host without a kernel, and hubs that answer or not.
type world struct {
	mu        sync.Mutex
	applied   []device.State
	links     []device.Link
	misled    int // routes by links, or from addresses, that were not there
	routes    int // how often only these were changed
	applies   int
	addresses []mesh.Local
	most      int  // size of the largest packet that passes; 0: there is none
	underlay  int  // what the host knows of it; 0: 1500
	shake     bool // everybody shakes hands all the time
	refuse    error
	changed   chan struct{}

	answers func(link string, to netip.Addr) bool
}

func newWorld() *world {
	return &world{changed: make(chan struct{}, 1), answers: func(string, netip.Addr) bool { return true }}
}

func (w *world) Apply(s device.State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.applies++
	w.links = s.Links
	if w.refuse != nil {
		return w.refuse
	}
	w.applied = append(w.applied, s)
	return nil
}

func (w *world) Keys() (all []mesh.PrivateKey, err error) {
	for _, l := range w.state().Links {
		all = append(all, l.Key)
	}
	return all, nil
}

func (w *world) Route(s device.State) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes++
	for _, r := range s.Routes {
		there := slices.ContainsFunc(w.links, func(l device.Link) bool { return l.Name == r.Link && slices.Contains(l.Addresses, r.Source) })
		if !there {
			w.misled++
		}
	}
	w.applied = append(w.applied, s)
	return nil
}

func (w *world) Observe() (map[string]device.LinkFacts, error) {
	all := map[string]device.LinkFacts{}
	for _, l := range w.state().Links {
		f := device.LinkFacts{Name: l.Name, MTU: l.MTU, Peers: map[mesh.PublicKey]device.PeerFacts{}}
		w.mu.Lock()
		for _, p := range l.Peers {
			one := device.PeerFacts{Endpoint: p.Endpoint}
			if w.shake {
				one.Handshake = time.Now()
			}
			f.Peers[p.Key] = one
		}
		w.mu.Unlock()
		all[l.Name] = f
	}
	return all, nil
}

func (w *world) PathMTU(netip.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return cmp.Or(w.underlay, 1500), nil
}

func (w *world) Networks() (device.Networks, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return device.Networks{Addresses: w.addresses}, nil
}

// has gives the host addresses.
func (w *world) has(addresses ...mesh.Local) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses = addresses
}

// builds is how often there was something to be built.
func (w *world) builds() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.applied {
		if len(s.Links) > 0 {
			n++
		}
	}
	return n
}

// changes is how often the routes alone were changed, and how often all was.
func (w *world) changes() (routes, applies int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes, w.applies
}

func (w *world) Watch(ctx context.Context, changed func()) error {
	for {
		select {
		case <-w.changed:
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *world) Ask(ctx context.Context, link string, to netip.Addr, size int, limit time.Duration) (time.Duration, error) {
	w.mu.Lock()
	ok := w.answers(link, to) && (w.most == 0 || size <= w.most)
	w.mu.Unlock()
	wait := limit
	if ok {
		wait = 5 * time.Millisecond
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if !ok {
		return 0, errors.New("silence")
	}
	return wait, nil
}

// state is what the host is now.
func (w *world) state() device.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.applied) == 0 {
		return device.State{}
	}
	return w.applied[len(w.applied)-1]
}

// by is the link that packets to everybody take.
func (w *world) by() string {
	best, link := 1<<30, ""
	for _, r := range w.state().Routes {
		if r.To.Bits() == 48 && !r.Aside && r.Metric < best {
			best, link = r.Metric, r.Link
		}
	}
	return link
}

func (w *world) silence(hubs ...netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers = func(_ string, to netip.Addr) bool { return !slices.Contains(hubs, to) }
}

// fleetOf is a map of two hubs and two edges, and the ring of pi-1.
func fleetOf(t *testing.T) (meshnet.Wanted, map[string]netip.Addr) {
	t.Helper()
	cluster := identitytest.New(t, "home")
	m := mesh.Map{Version: 5, Cluster: "home", Prefix: mesh.Prefix(identity.CAHash(cluster.CA))}
	w := meshnet.Wanted{Self: "pi-1", Ports: meshnet.Ports{Gossip: 7482}}
	at := map[string]netip.Addr{}
	for i, name := range []string{"c1", "c2", "pi-1", "pi-2"} {
		ring, err := mesh.NewRing()
		if err != nil {
			t.Fatal(err)
		}
		n := mesh.Node{Name: name, Role: fleet.Agent, Keys: ring.Public()}
		if i < 2 {
			n.Role, n.Hub, n.Endpoints = fleet.Coordinator, &mesh.Hub{Priority: 10 - i}, []mesh.Endpoint{{Kind: mesh.Static, Address: "192.0.2.1:51820"}}
		}
		n.ID = mesh.URI("home", n.Role, name)
		n.Address = mesh.NodeHost(n.Role, n.ID).In(m.Prefix)
		at[name] = n.Address
		m.Nodes = append(m.Nodes, n)
		if name == "pi-1" {
			w.Ring = ring
		}
	}
	w.Map = m
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	return w, at
}

// begin runs a helper in the bubble.
func begin(t *testing.T, dir string, w *world) (h *helper.Helper, end func()) {
	t.Helper()
	return beginNear(t, dir, w, nil)
}

func beginNear(t *testing.T, dir string, w *world, near helper.Neighbours) (h *helper.Helper, end func()) {
	t.Helper()
	h = helper.New(helper.Config{
		Near: near, Dir: dir, Stem: "psm", Device: w, Echo: w, Timing: choice.DefaultTiming, Log: slog.New(slog.DiscardHandler),
		Jitter:  func(time.Duration) time.Duration { return 0 },
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no names here") },
		Beat:    func(string) error { return nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return h, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestHubsTakeTurns(t *testing.T) {
	wanted, at := fleetOf(t)
	dir := t.TempDir()
	var kept device.State // what the kernel has, when the process has ended
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		defer func() { kept = w.state() }()
		h, end := begin(t, dir, w)
		defer end()
		time.Sleep(time.Second)
		if s := w.state(); len(s.Links) > 0 {
			t.Errorf("before anybody has said what is wanted: %+v", s)
		}
		h.Want(t.Context(), wanted)
		time.Sleep(3 * time.Second)
		if w.by() != "psm0" {
			t.Fatalf("packets go by %q: %+v", w.by(), w.state().Routes)
		}
		routes, applies := w.changes()
		w.silence(at["c1"])
		time.Sleep(2 * time.Second)
		moreRoutes, moreApplies := w.changes()
		if w.by() != "psm1" || moreRoutes == routes {
			t.Errorf("2 s after the hub is gone packets go by %q", w.by())
		}
		if moreApplies > applies+2 { // the link's endpoint, and the time of the whole
			t.Errorf("all was made anew %d times", moreApplies-applies)
		}
		w.silence(at["c1"], at["c2"]) // it is us
		time.Sleep(20 * time.Second)
		if w.by() != "psm1" {
			t.Errorf("with both gone packets go by %q", w.by())
		}
		w.silence()
		time.Sleep(50 * time.Second)
		if w.by() != "psm1" {
			t.Errorf("gone back already: %q", w.by())
		}
		time.Sleep(15 * time.Second)
		if w.by() != "psm0" {
			t.Errorf("after a minute of peace packets go by %q", w.by())
		}
		if r := h.Facts().Get().Report; r.Hub != "c1" || r.Version != 5 || len(r.Links) != 2 || !r.Links[0].Up || r.MTU != 1420 {
			t.Errorf("the report is %+v", r)
		}
		if err := h.Facts().Get().Check(); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) { // the next one goes on with what the kernel has
		w := newWorld()
		w.applied = []device.State{kept}
		w.silence(at["c1"])
		_, end := begin(t, dir, w)
		defer end()
		time.Sleep(2 * time.Second)
		if w.by() != "psm1" {
			t.Errorf("after a restart with nobody to ask packets go by %q", w.by())
		}
	})
	synctest.Test(t, func(t *testing.T) { // after a reboot there are no keys before the daemon calls
		w := newWorld()
		h, end := begin(t, dir, w)
		defer end()
		time.Sleep(2 * time.Second)
		if _, applies := w.changes(); applies > 0 {
			t.Errorf("without keys, %+v", w.state())
		}
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		if w.by() != "psm0" {
			t.Errorf("the daemon has called, and packets go by %q", w.by())
		}
	})
}

func TestWishes(t *testing.T) {
	wanted, _ := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)

		older := wanted
		older.Map.Version = 4
		older.Map.Nodes = older.Map.Nodes[:3]
		h.Want(t.Context(), older)
		time.Sleep(2 * time.Second)
		if f := h.Facts().Get().Report; f.Version != 5 || !strings.Contains(f.Facts.Fault, "older") {
			t.Errorf("an older map: %+v", f)
		}

		h.Want(t.Context(), meshnet.Wanted{Self: "pi-1", Ring: wanted.Ring}) // of a daemon that lost its map
		time.Sleep(2 * time.Second)
		if s := w.state(); len(s.Links) == 0 {
			t.Error("a daemon without a map took the mesh down")
		}

		out := wanted
		out.Map.Version = 6
		out.Map.Nodes = slices.DeleteFunc(slices.Clone(out.Map.Nodes), func(n mesh.Node) bool { return n.Name == "pi-1" })
		h.Want(t.Context(), out)
		time.Sleep(2 * time.Second)
		if s := w.state(); len(s.Links)+len(s.Routes)+len(s.Prefixes) > 0 || h.Facts().Get().Generation != 0 {
			t.Errorf("a node that is out of the map has %+v", s)
		}

		wanted.Map.Version = 7
		w.has(mesh.Local{Prefix: netip.PrefixFrom(wanted.Map.Prefix.Addr().Next(), 64), Interface: "wg7"})
		built := w.builds()
		h.Want(t.Context(), wanted)
		time.Sleep(6 * time.Second)
		if w.builds() > built {
			t.Error("it was built before anybody looked whether it may")
		}
		if s, f := w.state(), h.Facts().Get().Report.Facts; len(s.Links) > 0 || !strings.Contains(f.Clash, "wg7") {
			t.Errorf("a network of the host that clashes: %+v, %+v", f, s)
		}
		w.has()
		time.Sleep(6 * time.Second)
		if len(w.state().Links) == 0 {
			t.Error("the clash is over, and the mesh is not back")
		}

		_, before := w.changes()
		w.changed <- struct{}{}
		time.Sleep(2 * time.Second)
		if _, now := w.changes(); now == before {
			t.Error("the host changed, and nobody looked")
		}
		_, before = w.changes()
		time.Sleep(31 * time.Second)
		if _, now := w.changes(); now == before {
			t.Error("nobody looked in half a minute")
		}

		w.mu.Lock()
		w.refuse = errors.New("no such device")
		w.mu.Unlock()
		wanted.Map.Version++
		wanted.Ports.API = 7490
		h.Want(t.Context(), wanted)
		time.Sleep(2 * time.Second)
		if f := h.Facts().Get().Report.Facts; !strings.Contains(f.Fault, "no such device") {
			t.Errorf("the host refused, and the report says %+v", f)
		}
		w.mu.Lock()
		w.refuse = nil
		w.mu.Unlock()
		time.Sleep(3 * time.Second)
		if f := h.Facts().Get().Report.Facts; f.Fault != "" {
			t.Errorf("it was not tried again: %+v", f)
		}
	})
}

// TestNewKey has the map take a second key of the node.
func TestNewKey(t *testing.T) {
	wanted, at := fleetOf(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		h, end := begin(t, t.TempDir(), w)
		defer end()
		h.Want(t.Context(), wanted)
		time.Sleep(3 * time.Second)
		old := wanted.Ring.Newest().Private
		key := func(link string) bool { // whether it has the new one
			for _, l := range w.state().Links {
				if l.Name == link {
					return l.Key != old
				}
			}
			t.Fatalf("no link %s", link)
			return false
		}
		ring, err := wanted.Ring.Next(2)
		if err != nil {
			t.Fatal(err)
		}
		wanted.Ring = ring
		h.Want(t.Context(), wanted)
		time.Sleep(5 * time.Second)
		if key("psm0") || key("psm1") {
			t.Error("a key is used that the map does not have")
		}
		wanted.Map.Version++
		wanted.Map.Nodes = slices.Clone(wanted.Map.Nodes)
		wanted.Map.Nodes[2].Keys = ring.Public()
		w.silence(at["c2"]) // the standby hub does not know the new key yet
		h.Want(t.Context(), wanted)
		time.Sleep(5 * time.Second)
		if key("psm0") || !key("psm1") || w.by() != "psm0" {
			t.Errorf("new keys: %v %v, packets by %q", key("psm0"), key("psm1"), w.by())
		}
		w.silence()
		w.mu.Lock()
		w.shake = true
		w.mu.Unlock()
		time.Sleep(7 * time.Second)
		if !key("psm0") || w.by() != "psm1" {
			t.Errorf("new key at the hub that counted: %v, packets by %q", key("psm0"), w.by())
		}
		time.Sleep(5 * time.Second)
		if g := h.Facts().Get().Generation; g != 2 {
			t.Errorf("the oldest key in use is of generation %d", g)
		}
	})
}
