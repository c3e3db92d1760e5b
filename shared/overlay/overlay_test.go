package overlay

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/identity/identitytest"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// A desk is the coordinators, in memory: it takes announcements as they do.
type desk struct {
	cluster *identitytest.Cluster
	chart   *watch.Value[mesh.Map]

	mu     sync.Mutex // what follows: stories change it while a member asks
	hints  []mesh.Hint
	sum    string
	down   error
	refuse func(mesh.Announcement) error
	told   []mesh.Announcement
	forger *identitytest.Cluster // signs instead, if there is one
}

func (d *desk) Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error) {
	d.mu.Lock()
	down := d.down
	d.mu.Unlock()
	if down != nil {
		return wire.MeshBody{}, down
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, _ := d.chart.Until(ctx, func(m mesh.Map) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return m.Version > version || m.Version > 0 && sum != d.sum
	})
	d.mu.Lock()
	defer d.mu.Unlock()
	signer := d.cluster
	if d.forger != nil {
		signer = d.forger
	}
	b := wire.MeshBody{Version: m.Version, Hints: d.hints, Sum: d.sum}
	var err error
	if m.Version > 0 {
		b.Signed, err = mesh.Seal(m, signer.Signer())
	}
	return b, err
}

func (d *desk) AnnounceMesh(_ context.Context, a mesh.Announcement) error {
	if err := d.hear(a); err != nil {
		return err
	}
	d.set(func(m *mesh.Map) { d.put(m, "pi-1", a) })
	return nil
}

// hear notes an announcement, and says what is against it.
func (d *desk) hear(a mesh.Announcement) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = append(d.told, a)
	if d.down != nil || d.refuse == nil {
		return d.down
	}
	return d.refuse(a)
}

// times is how often the member has announced itself.
func (d *desk) times() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.told)
}

// change changes what the coordinators do.
func (d *desk) change(how func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how()
}

// set changes the map, and its version.
func (d *desk) set(change func(*mesh.Map)) {
	m := d.chart.Get()
	m.Version++
	m.Cluster, m.Prefix = "home", mesh.Prefix(identity.CAHash(d.cluster.CA))
	change(&m)
	d.chart.Store(m)
}

func (d *desk) put(m *mesh.Map, name string, a mesh.Announcement) {
	id := mesh.URI("home", fleet.Agent, name)
	n := mesh.Node{Name: name, ID: id, Role: fleet.Agent, Address: mesh.NodeHost(fleet.Agent, id).In(m.Prefix), Keys: a.Keys, Site: a.Site, Endpoints: a.Endpoints}
	m.Nodes = []mesh.Node{n}
	if m.Wanted(name) <= n.Newest().Generation {
		m.Rotate = nil
	}
}

// A lab is a member of a desk's mesh, on a disk of its own.
type lab struct {
	*desk
	t   *testing.T
	dir string
	log journal
	own []mesh.Endpoint // read with the desk's lock
}

// A journal is a log that is read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func story(t *testing.T, tell func(*testing.T, *lab)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cluster := identitytest.New(t, "home")
		l := &lab{desk: &desk{cluster: cluster, chart: watch.New(mesh.Map{})}, t: t, dir: dir, own: []mesh.Endpoint{{Kind: mesh.LAN, Address: "192.0.2.7:51820"}}}
		tell(t, l)
	})
}

func (l *lab) endpoints() (all []mesh.Endpoint) {
	l.change(func() { all = l.own })
	return all
}

// start makes the member, as a process that has just begun, and runs it.
func (l *lab) start() (m *Member, stop func()) {
	l.t.Helper()
	m, err := New(Config{
		Self: identity.ID{Cluster: "home", Role: fleet.Agent, Name: "pi-1"}, Authority: l.cluster.CA, Dir: l.dir, KeyDir: l.dir,
		Source: l.desk, Endpoints: l.endpoints, Log: slog.New(slog.NewTextHandler(&l.log, nil)),
	})
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	return m, func() {
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	}
}

// TestBoot: the key is made here, announced, and kept; the next start has key and
// map with nobody in reach, and does not announce what is known.
func TestBoot(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m, stop := l.start()
		time.Sleep(time.Second)
		net := m.Net().Get()
		self, ok := net.Map.Find("pi-1")
		if !ok || self.Newest().Public != net.Ring.Newest().Private.Public() || l.times() != 1 {
			t.Fatalf("after a second: %+v, told %d times", net.Map, l.times())
		}
		time.Sleep(time.Hour)
		if l.times() != 1 {
			t.Errorf("told %d times in an hour without news", l.times())
		}
		l.change(func() { l.own = append(l.own, mesh.Endpoint{Kind: mesh.Global, Address: "[2001:db8::7]:51820"}) })
		time.Sleep(10 * time.Second)
		if l.times() != 2 || m.Report().Version != m.Net().Get().Map.Version {
			t.Errorf("told %d times after another address came", l.times())
		}
		stop()
		l.change(func() { l.down = errors.New("no coordinator answers") })
		again, stop := l.start()
		if kept := again.Net().Get(); kept.Map.Version != 2 || kept.Ring.Newest() != net.Ring.Newest() {
			t.Errorf("right after a boot alone: version %d", kept.Map.Version)
		}
		time.Sleep(time.Hour)
		if l.times() != 2 {
			t.Errorf("told %d times what the map has", l.times())
		}
		if n := strings.Count(l.log.String(), "cannot follow the map"); n != 1 {
			t.Errorf("an hour alone was told %d times", n)
		}
		stop()
	})
}

// TestForged: a map of another authority, or an older one, changes nothing.
func TestForged(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m, stop := l.start()
		time.Sleep(time.Second)
		l.change(func() { l.forger = identitytest.New(t, "home") })
		l.set(func(m *mesh.Map) { m.Nodes = nil })
		time.Sleep(time.Minute)
		if len(m.Net().Get().Map.Nodes) != 1 || !strings.Contains(l.log.String(), "not signed by this cluster's authority") {
			t.Errorf("a forged map is in force: %+v", m.Net().Get().Map)
		}
		l.change(func() { l.forger = nil })
		time.Sleep(time.Minute)
		if now := m.Net().Get().Map; now.Version != 3 { // and it has announced itself again
			t.Errorf("after the signed one: version %d", now.Version)
		}
		stop()
		if err := os.WriteFile(filepath.Join(l.dir, "mesh.json"), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		l.change(func() { l.down = errors.New("nobody") })
		m, stop = l.start()
		if v := m.Net().Get().Map.Version; v != 0 || !strings.Contains(l.log.String(), "cannot be used") {
			t.Errorf("a damaged file gave version %d", v)
		}
		stop()
	})
}

// settling is tunnels that use the newest key after a while.
type settling struct{ until time.Time }

func (settling) Report() mesh.Report     { return mesh.Report{Hub: "c1"} }
func (settling) Host() (string, bool)    { return "", true }
func (s settling) Settled(_ uint64) bool { return time.Now().After(s.until) }

// TestRotate: a newer key is announced beside the older one, which goes when no
// tunnel uses it; both are good in between.
func TestRotate(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m, stop := l.start()
		defer stop()
		m.Attach(settling{time.Now().Add(time.Minute)})
		time.Sleep(time.Second)
		first := m.Net().Get().Ring.Newest()
		l.set(func(m *mesh.Map) { m.Rotate = []mesh.Rotation{{Name: "pi-1", Generation: 2}} })
		time.Sleep(6 * time.Second)
		ring := m.Net().Get().Ring
		self, _ := m.Net().Get().Map.Find("pi-1")
		if len(ring.Keys) != 2 || ring.Keys[0] != first || len(self.Keys) != 2 || ring.Newest().Generation != 2 {
			t.Fatalf("6s after: %v, map %v", ring, self.Keys)
		}
		time.Sleep(time.Minute)
		ring = m.Net().Get().Ring
		self, _ = m.Net().Get().Map.Find("pi-1")
		if len(ring.Keys) != 1 || len(self.Keys) != 1 || self.Keys[0].Generation != 2 {
			t.Errorf("once no tunnel uses the older one: %v, map %v", ring, self.Keys)
		}
		if m.Report().Hub != "c1" {
			t.Error("the tunnels' report is not told")
		}
	})
}

// TestRefusedKey: a key that was shut out is replaced.
func TestRefusedKey(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		var bad mesh.PublicKey
		l.refuse = func(a mesh.Announcement) error {
			if bad.IsZero() {
				bad = a.Keys[0].Public
			}
			for _, k := range a.Keys {
				if k.Public == bad {
					return problem.New(problem.Conflict, "Make a new key.", "The key is revoked.")
				}
			}
			return nil
		}
		m, stop := l.start()
		defer stop()
		time.Sleep(30 * time.Second)
		var refused mesh.PublicKey
		l.change(func() { refused = bad })
		if self, ok := m.Net().Get().Map.Find("pi-1"); !ok || self.Newest().Public == refused {
			t.Errorf("not in the map after 30s; told %d times", l.times())
		}
	})
}

// TestHints follow without a new map.
func TestHints(t *testing.T) {
	story(t, func(t *testing.T, l *lab) {
		m, stop := l.start()
		defer stop()
		time.Sleep(time.Second)
		l.change(func() {
			l.hints, l.sum = []mesh.Hint{{Sighting: mesh.Sighting{Node: "pi-2", Endpoint: "203.0.113.7:4711"}, Hub: "c1"}}, "x"
		})
		time.Sleep(2 * time.Minute)
		if got := m.Net().Get(); len(got.Hints) != 1 || got.Map.Version != 1 {
			t.Errorf("hints %v, version %d", got.Hints, got.Map.Version)
		}
	})
}

// TestTurn is the rule by itself.
func TestTurn(t *testing.T) {
	ring := func(generations ...uint64) (r mesh.Ring) {
		for _, g := range generations {
			k := mesh.OwnKey{Generation: g}
			k.Private[0] = byte(g)
			r.Keys = append(r.Keys, k)
		}
		return r
	}
	chart := func(r mesh.Ring, want uint64) mesh.Map {
		m := mesh.Map{Nodes: []mesh.Node{{Name: "pi-1", Keys: r.Public()}}}
		if want > 0 {
			m.Rotate = []mesh.Rotation{{Name: "pi-1", Generation: want}}
		}
		return m
	}
	other := ring(1)
	other.Keys[0].Private[0] = 99
	revoked := chart(ring(3), 0)
	revoked.Revoked = []mesh.PublicKey{ring(4).Newest().Private.Public()}
	for name, test := range map[string]struct {
		m       mesh.Map
		ring    mesh.Ring
		settled bool
		gen     uint64
		want    Change
	}{
		"no map yet":                   {mesh.Map{}, ring(1), true, 0, Stay},
		"as announced":                 {chart(ring(1), 0), ring(1), true, 0, Stay},
		"asked":                        {chart(ring(1), 2), ring(1), true, 2, Renew},
		"asked for much more":          {chart(ring(1), 9), ring(1), true, 9, Renew},
		"asked and made":               {chart(ring(1), 2), ring(1, 2), true, 0, Stay},
		"both known, older in use":     {chart(ring(1, 2), 0), ring(1, 2), false, 0, Stay},
		"both known, older of no use":  {chart(ring(1, 2), 0), ring(1, 2), true, 0, Settle},
		"the older has ended":          {chart(ring(2), 0), ring(1, 2), false, 0, Settle},
		"lost, and made anew":          {chart(ring(5), 0), ring(1), true, 6, Renew},
		"another key of its number":    {chart(other, 0), ring(1), true, 2, Renew},
		"shut out before it was known": {revoked, ring(4), true, 5, Renew},
	} {
		gen, got := Turn(test.m, "pi-1", test.ring, func(uint64) bool { return test.settled })
		if gen != test.gen || got != test.want {
			t.Errorf("%s: %d, %d, want %d, %d", name, gen, got, test.gen, test.want)
		}
	}
}

func TestCandidates(t *testing.T) {
	var own []netip.Addr
	for _, a := range []string{"127.0.0.1", "::1", "fe80::1%eth0", "192.168.1.7", "2001:db8::7", "fd11::7", "fd00:1:2:1::5"} {
		own = append(own, netip.MustParseAddr(a))
	}
	m := mesh.Map{Prefix: netip.MustParsePrefix("fd00:1:2::/48")}
	best := netip.MustParseAddr("192.168.1.7")
	show := func(all []mesh.Endpoint) string {
		var text []string
		for _, e := range all {
			text = append(text, string(e.Kind)+" "+e.Address)
		}
		return strings.Join(text, ", ")
	}
	for name, test := range map[string]struct {
		change func(*Settings)
		hub    bool
		want   string
	}{
		"as it comes":      {func(*Settings) {}, false, "lan 192.168.1.7:51820, global [2001:db8::7]:51820, lan [fd11::7]:51820"},
		"nothing of ours":  {func(s *Settings) { s.AdvertiseLAN = false }, false, ""},
		"a hub":            {func(s *Settings) { s.AdvertiseLAN = false }, true, "static 192.168.1.7:51820"},
		"a hub with names": {func(s *Settings) { s.AdvertiseLAN, s.Endpoints = false, []string{"hub.example:4000"} }, true, "static hub.example:4000"},
		"each once":        {func(s *Settings) { s.Endpoints = []string{"192.168.1.7:51820"} }, true, "static 192.168.1.7:51820, global [2001:db8::7]:51820, lan [fd11::7]:51820"},
	} {
		s := DefaultSettings()
		test.change(&s)
		all := s.Candidates(own, m, test.hub, best)
		if got := show(all); got != test.want || mesh.CheckEndpoints(all) != nil {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
