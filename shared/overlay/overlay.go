// Package overlay keeps a node's side of what is decided about the mesh: the newest
// signed map, on its disk too, and its own keys, which it makes, announces and
// changes when it is asked.
//
// It touches no network interface. Whoever builds the tunnels watches Net, from
// the start: a node that boots with nobody in reach has the map of the last time.
package overlay

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"primespark/shared/identity"
	"primespark/shared/mesh"
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/watch"
	"primespark/shared/wire"
)

// Times of asking and telling.
const (
	pollTime  = time.Minute // that a coordinator may keep a request; news comes at once
	leastWait = 250 * time.Millisecond
	mostWait  = 15 * time.Second
	lookEvery = 5 * time.Second  // at what the node has to tell
	tellAgain = 30 * time.Second // what was told and the map does not have
	goodbye   = 3 * time.Second  // of a hub that stops, at most
	leaving   = time.Second      // for the nodes to change to another one
)

// A Source is the coordinators, or on one of them its own state.
type Source interface {
	// Mesh returns the map as soon as it is newer than a version, or the hints have
	// another sum, or as it is when the wait is over.
	Mesh(ctx context.Context, version uint64, sum string, wait time.Duration) (wire.MeshBody, error)
	AnnounceMesh(ctx context.Context, a mesh.Announcement) error
}

// Config is what a Member works with.
type Config struct {
	Self      identity.ID
	Authority *x509.Certificate // of the cluster
	Dir       string            // where the map is kept
	KeyDir    string            // where the identity is, and with it the keys
	Source    Source
	Site      string
	// Endpoints are where this node may be reached now; asked every few seconds.
	Endpoints func() []mesh.Endpoint
	Hub       func() *mesh.Hub // nil: it is none
	Log       *slog.Logger
}

// Tunnels is who builds them, and knows how they are.
type Tunnels interface {
	// Report is what this node sees of the mesh.
	Report() mesh.Report
	// Settled reports whether no tunnel uses a key older than that of a generation.
	Settled(generation uint64) bool
	// Host is the member on the same host whose tunnels this node uses; empty if it has
	// its own. It is not known before they were asked.
	Host() (member string, known bool)
}

// A Net is all that the tunnels are made of. One that is shared is never changed.
type Net struct {
	Map   mesh.Map // of version 0 before the first
	Ring  mesh.Ring
	Hints []mesh.Hint
}

// A Member is this node in the mesh. It is a part; Net may be watched from the start.
type Member struct {
	cfg     Config
	net     *watch.Value[Net]
	nudge   chan struct{} // 1 deep: there may be something to tell
	tunnels atomic.Pointer[Tunnels]

	homeless sync.Once // that a hub has no address was told
}

// New reads what was kept, and makes the node's first key. Without a key there is
// no mesh; without a usable map it waits for a coordinator, and says so.
func New(cfg Config) (*Member, error) {
	ring, err := mesh.LoadRing(cfg.KeyDir)
	if errors.Is(err, fs.ErrNotExist) {
		if ring, err = mesh.NewRing(); err == nil {
			err = ring.Save(cfg.KeyDir)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keys of the mesh: %w", err)
	}
	m, err := mesh.Load(cfg.Dir, cfg.Authority, cfg.Self.Cluster)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		cfg.Log.Info("no map of the mesh is kept yet, waiting for a coordinator")
	case err != nil:
		cfg.Log.Warn("the kept map of the mesh cannot be used, waiting for a coordinator", "err", err)
	default:
		cfg.Log.Info("beginning with the kept map of the mesh", "version", m.Version, "nodes", len(m.Nodes))
	}
	return &Member{cfg: cfg, net: watch.New(Net{Map: m, Ring: ring}), nudge: make(chan struct{}, 1)}, nil
}

func (*Member) String() string { return "mesh map" }

// Net is what the tunnels are made of, as a value to wait on.
func (m *Member) Net() *watch.Value[Net] { return m.net }

// Attach says who builds the tunnels. Without anybody, the older key of two stays as
// long as the map has it, and reports tell of the map alone.
func (m *Member) Attach(t Tunnels) { m.tunnels.Store(&t) }

// Report is what this node sees of the mesh.
func (m *Member) Report() mesh.Report {
	var r mesh.Report
	if t := m.tunnels.Load(); t != nil {
		r = (*t).Report()
	}
	r.Version = m.net.Get().Map.Version
	return r.Bounded()
}

func (m *Member) settled(generation uint64) bool {
	t := m.tunnels.Load()
	return t != nil && (*t).Settled(generation)
}

// Run follows the map and announces this node until ctx ends. A hub then asks the
// others to leave it, and gives them a moment.
func (m *Member) Run(ctx context.Context) error {
	defer m.farewell(context.WithoutCancel(ctx))
	return run.All(ctx, run.Func("mesh follower", m.follow), run.Func("mesh announcer", m.announce))
}

// farewell announces that a hub is about to stop, where there is another one. A
// start announces that it is back.
func (m *Member) farewell(ctx context.Context) {
	net := m.net.Get()
	self, known := net.Map.Find(m.cfg.Self.Name)
	if !known || self.Hub == nil || len(net.Map.Hubs()) < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	a := m.announcement()
	if a.Hub == nil {
		return
	}
	a.Hub = &mesh.Hub{Priority: a.Hub.Priority, Draining: true}
	if err := m.cfg.Source.AnnounceMesh(ctx, a); err != nil {
		m.cfg.Log.Info("the nodes were not asked to leave this hub, they find out by themselves", "err", err)
		return
	}
	run.Sleep(ctx, leaving)
}

// follow takes each map that is newer.
func (m *Member) follow(ctx context.Context) error {
	var wait time.Duration
	sum := ""
	for ctx.Err() == nil {
		got, err := m.poll(ctx, sum)
		if err == nil {
			if wait > 0 {
				m.cfg.Log.Info("following the map of the mesh again")
			}
			wait, sum = 0, got.Sum
			run.Sleep(ctx, leastWait) // so that many changes at once are few polls
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		if wait == 0 {
			m.cfg.Log.Info("cannot follow the map of the mesh, going on with the one in force", "err", err, "version", m.net.Get().Map.Version)
		}
		wait = min(max(2*wait, leastWait), mostWait)
		run.Sleep(ctx, run.Jitter(wait))
	}
	return nil
}

// poll asks once, and puts in force what is newer and signed.
func (m *Member) poll(ctx context.Context, sum string) (wire.MeshBody, error) {
	ctx, cancel := context.WithTimeout(ctx, pollTime+mostWait)
	defer cancel()
	have := m.net.Get().Map
	got, err := m.cfg.Source.Mesh(ctx, have.Version, sum, pollTime)
	if err != nil {
		return got, err
	}
	if got.Version == 0 {
		return got, nil // nobody takes part yet
	}
	next, err := got.Open(m.cfg.Authority, m.cfg.Self.Cluster, have.Version)
	if err != nil {
		return got, err
	}
	if next.Version > have.Version {
		if err := got.Save(m.cfg.Dir); err != nil {
			m.cfg.Log.Warn("map of the mesh not kept, after a restart without coordinators the older one counts", "err", err, "remedy", "see that the disk has room and is writable")
		}
		m.cfg.Log.Info("map of the mesh changed", "version", next.Version, "nodes", len(next.Nodes), "clients", len(next.Clients))
	} else {
		next = have
	}
	m.net.Update(func(n Net) Net { n.Map, n.Hints = next, got.Hints; return n })
	m.wake()
	return got, nil
}

func (m *Member) wake() {
	select {
	case m.nudge <- struct{}{}:
	default:
	}
}

// announce tells the coordinators what is not as the map has it.
func (m *Member) announce(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	t := teller{member: m}
	for {
		t.look(ctx)
		select {
		case <-m.nudge:
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// A teller remembers what was told and is not in the map yet.
type teller struct {
	member *Member
	told   mesh.Announcement
	at     time.Time
	failed bool
}

func (t *teller) look(ctx context.Context) {
	m := t.member
	if err := m.turn(); err != nil {
		if !t.failed {
			m.cfg.Log.Warn("key of the mesh not changed, trying again", "err", err, "remedy", "see that the disk has room and is writable")
		}
		t.failed = true
		return
	}
	net, a := m.net.Get(), m.announcement()
	self, known := net.Map.Find(m.cfg.Self.Name)
	again := !t.at.IsZero() && time.Since(t.at) < tellAgain && (mesh.Node{Keys: t.told.Keys, Site: t.told.Site, Endpoints: t.told.Endpoints, Hub: t.told.Hub, Host: t.told.Host}).Says(a)
	if known && self.Says(a) || again {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mostWait)
	defer cancel()
	err := m.cfg.Source.AnnounceMesh(ctx, a)
	switch {
	case err == nil:
		if t.failed {
			m.cfg.Log.Info("announced in the mesh again")
		}
		t.told, t.at, t.failed = a, time.Now(), false
		return
	case problem.Is(err, problem.Conflict): // a key that was shut out, or is another's
		if err := m.renew(net.Ring.Newest().Generation + 1); err != nil {
			m.cfg.Log.Warn("no new key of the mesh", "err", err)
		}
	}
	if !t.failed && ctx.Err() == nil {
		m.cfg.Log.Warn("not announced in the mesh, trying again", "err", err)
	}
	t.failed = true
}

// announcement is what the node has to tell now.
func (m *Member) announcement() mesh.Announcement {
	a := mesh.Announcement{Keys: m.net.Get().Ring.Public(), Site: m.cfg.Site, Endpoints: m.cfg.Endpoints()}
	a.Host = m.host()
	if m.cfg.Hub == nil {
		return a
	}
	if a.Hub = m.cfg.Hub(); a.Hub != nil && len((mesh.Node{Endpoints: a.Endpoints}).Static()) == 0 {
		a.Hub = nil
		m.homeless.Do(func() {
			m.cfg.Log.Warn("this host has no address to be a hub of the mesh at, taking part as others do", "remedy", "set mesh.endpoints to where the nodes reach it by UDP, or mesh.hub: false")
		})
	}
	if a.Hub != nil {
		a.Host = "" // it never is a guest
	}
	return a
}

// host is whose guest this node is: what the map says, as long as nobody knows better.
func (m *Member) host() string {
	if t := m.tunnels.Load(); t != nil {
		if host, known := (*t).Host(); known {
			return host
		}
	}
	self, _ := m.net.Get().Map.Find(m.cfg.Self.Name)
	return self.Host
}

// turn changes the ring as the map wants it.
func (m *Member) turn() error {
	net := m.net.Get()
	next, change := Turn(net.Map, m.cfg.Self.Name, net.Ring, m.settled)
	switch change {
	case Renew:
		return m.renew(next)
	case Settle:
		return m.keep(net.Ring.Settled())
	}
	return nil
}

// renew makes a key of that generation, or a later one.
func (m *Member) renew(least uint64) error {
	ring, err := m.net.Get().Ring.Next(least)
	if err != nil {
		return err
	}
	m.cfg.Log.Info("made a new key for the mesh", "generation", ring.Newest().Generation)
	return m.keep(ring)
}

// keep puts a ring on the disk and then in force.
func (m *Member) keep(ring mesh.Ring) error {
	if err := ring.Save(m.cfg.KeyDir); err != nil {
		return fmt.Errorf("keep the keys of the mesh: %w", err)
	}
	m.net.Update(func(n Net) Net { n.Ring = ring; return n })
	return nil
}

// A Change is what a ring needs.
type Change int

// The changes.
const (
	Stay   Change = iota
	Renew         // a key of a greater generation
	Settle        // the newest alone
)

// Turn says how a node's ring has to change by the map, and for Renew the least
// generation of the next key. A node that lost its keys, or whose state was
// restored, finds a later generation in the map than it has.
func Turn(m mesh.Map, self string, ring mesh.Ring, settled func(uint64) bool) (generation uint64, change Change) {
	own, wanted := ring.Newest(), m.Wanted(self)
	latest := mesh.Key{}
	n, known := m.Find(self)
	if known {
		latest = n.Newest()
	}
	switch {
	case latest.Generation > own.Generation,
		latest.Generation == own.Generation && latest.Public != own.Private.Public(),
		slices.Contains(m.Revoked, own.Private.Public()):
		return max(wanted, latest.Generation+1, own.Generation+1), Renew
	case wanted > own.Generation:
		return wanted, Renew
	case len(ring.Keys) < 2 || latest.Generation != own.Generation:
		return 0, Stay // the others do not know the newer key yet
	case settled(own.Generation), len(n.Keys) == 1:
		return 0, Settle
	}
	return 0, Stay
}
