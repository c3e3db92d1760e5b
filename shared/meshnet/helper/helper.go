// Package helper is the program that holds the rights over a host's network: it keeps
// the interfaces of the mesh as the map says (Layout), probes hubs and direct paths,
// and changes routes when one of them fails. It knows nothing of agents and
// coordinators but what they want (meshnet.Wanted), remembers that, and goes on
// without them.
package helper

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// Device is the host's network, of which device.Manager is the real one.
type Device interface {
	Apply(device.State) error
	// Keys are those of the interfaces of ours that are there, as an earlier process
	// left them.
	Keys() ([]mesh.PrivateKey, error)
	Route(device.State) error
	Observe() (map[string]device.LinkFacts, error)
	PathMTU(netip.Addr) (int, error)
	Networks() (device.Networks, error)
	Watch(ctx context.Context, changed func()) error
}

// Echo probes members, as echo.Socket does.
type Echo interface {
	Ask(ctx context.Context, link string, to netip.Addr, size int, limit time.Duration) (time.Duration, error)
}

// Config is what a Helper is made of.
type Config struct {
	Dir     string // its own state: the last wish, without the keys
	Stem    string // what the names of its interfaces begin with
	Device  Device
	Echo    Echo
	Near    Neighbours // nil: nobody is looked for in this host's networks
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Timing  choice.Timing
	Jitter  func(below time.Duration) time.Duration
	Log     *slog.Logger
	Beat    func(status string) error // tells the service manager in each round of the main loop
}

// How often what is done.
const (
	observeEvery   = time.Second
	examineEvery   = 5 * time.Second
	reconcileEvery = 30 * time.Second
	calm           = time.Second // between two looks at the host after it changed
	resolveEvery   = time.Minute
	resolveAlone   = 5 * time.Second  // when no hub answers: the names may have moved
	nextEndpoint   = 10 * time.Second // of a hub that does not answer at one
	silent         = 15 * time.Second // without a packet, and a hub looks for the member at the others
	seekEvery      = 5 * time.Second
	fillEvery      = 10 * time.Second
	fills          = 3               // full packets lost in a row, and the links get the least size
	lookTimeout    = 5 * time.Second // for a name
)

// A Helper keeps one node in the mesh.
type Helper struct {
	cfg    Config
	facts  *watch.Value[meshnet.Facts]
	work   chan func() // what other goroutines have found, for the main loop
	dirty  chan struct{}
	owners struct { // the daemons that are connected, by member
		sync.Mutex

		by map[string]owner
	}

	// All below belongs to the main loop.
	wishes    map[string]meshnet.Wanted // of the members of this host, by name
	wanted    meshnet.Wanted            // of the one that has the tunnels, with the newest map
	guests    []guest                   // the other ones
	begun     time.Time
	pending   bool   // a guest waits for the daemon of its host
	told      bool   // it is known what is wanted; before, the host stays as it is
	refused   string // why the last wish was not followed
	chooser   *choice.Chooser
	direct    map[string]*choice.Direct
	index     map[string]int
	keys      map[string]uint64
	hubs      map[string]*hub
	latest    map[mesh.PublicKey]time.Time
	observed  map[string]device.LinkFacts
	members   map[string]*member // of a hub
	underlay  int                // size of the largest packet that leaves for the hubs, as far as the host knows; 0: not known
	mtu       int
	small     bool           // something on the way swallows what should fit
	swallowed map[string]int // full packets in a row, by hub
	networks  device.Networks
	clash     string
	fault     string // of the last attempt to make the host as wanted
	applied   device.State
	asked     map[string]bool // probes under way, so that a slow host does not heap them up
	rotating  rotation
	near      map[string]near // where members were heard, by name
	mute      bool            // the neighbours were not told the last time
	last      time.Time       // of the last round
	sluggish  bool            // this round came late: what is missed now is our own fault
	due       struct{ observe, examine, through, reconcile, resolve, seek, fill, say time.Time }
	turn      int // whose turn it is to be the third member
}

// An owner is a daemon that is connected.
type owner struct {
	conn    net.Conn
	cluster string
}

// A hub is what is known of where one is.
type hub struct {
	addrs []netip.AddrPort
	next  int
	since time.Time // when addrs[next] was begun with
}

// A member is what a hub knows of one that is to come to it.
type member struct {
	received int64
	heard    time.Time
	via      string // the hub where it is, if not here
	missed   int
}

// New makes a helper, which begins with what was wanted last.
func New(cfg Config) *Helper {
	h := &Helper{
		cfg: cfg, facts: watch.New(meshnet.Facts{}), work: make(chan func(), 256), dirty: make(chan struct{}, 1),
		direct: map[string]*choice.Direct{}, index: map[string]int{}, keys: map[string]uint64{}, hubs: map[string]*hub{},
		latest: map[mesh.PublicKey]time.Time{}, members: map[string]*member{}, asked: map[string]bool{}, mtu: minMTU, swallowed: map[string]int{}, near: map[string]near{},
	}
	h.owners.by = map[string]owner{}
	h.begun = time.Now()
	h.chooser = choice.NewChooser("", cfg.Timing, cfg.Jitter)
	there, err := cfg.Device.Keys()
	if err != nil { // a daemon will tell them
		cfg.Log.Warn("the keys of the interfaces cannot be read; the mesh waits for a daemon to bring them", "err", err)
	}
	last, err := loadWanted(cfg.Dir, there)
	if err != nil { // a daemon will tell again
		cfg.Log.Error("the last map cannot be read; the mesh waits for a daemon to bring one", "err", err)
	}
	if h.wishes = recall(last); last.Self != "" {
		var w meshnet.Wanted
		w, h.guests = place(h.wishes)
		h.follow(w)
	}
	return h
}

// Facts are the newest.
func (h *Helper) Facts() *watch.Value[meshnet.Facts] { return h.facts }

// String names the part in logs.
func (h *Helper) String() string { return "mesh" }

// Run keeps the host as wanted until ctx ends, and leaves it so.
func (h *Helper) Run(ctx context.Context) error {
	return run.All(ctx,
		run.Func("mesh", h.loop),
		run.Restart(run.Func("neighbours in the mesh", h.neighbours), h.cfg.Log),
		run.Restart(run.Func("watch over the network", func(ctx context.Context) error {
			return h.cfg.Device.Watch(ctx, func() {
				select {
				case h.dirty <- struct{}{}:
				default: // it will look anyway
				}
			})
		}), h.cfg.Log),
	)
}

func (h *Helper) loop(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the probes, whose findings nobody takes any more
	tick := time.NewTicker(h.cfg.Timing.Every)
	defer tick.Stop()
	h.round(ctx, time.Now())
	var look <-chan time.Time // when to look at a host that has changed
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			h.round(ctx, now)
		case f := <-h.work:
			f()
			h.decide(time.Now())
		case <-h.dirty:
			if look == nil {
				look = time.After(calm)
			}
		case <-look:
			look = nil
			h.measure()
			h.due.reconcile = time.Time{}
			h.reconcile(time.Now())
		}
	}
}

// post hands what was found to the main loop; not after it has ended.
func (h *Helper) post(ctx context.Context, f func()) {
	select {
	case h.work <- f:
	case <-ctx.Done():
	}
}

// node is this node's view.
func (h *Helper) node(now time.Time) Node {
	n := Node{
		Self: h.wanted.Self, Stem: h.cfg.Stem, Map: h.wanted.Map, Ring: h.wanted.Ring, Port: h.wanted.Listen, Ports: []meshnet.Ports{h.wanted.Ports}, MTU: h.mtu,
		Active: h.chooser.Active(), Index: h.index, Keys: h.keys, Hubs: map[string]Reach{}, Direct: h.direct, Via: map[string]string{},
		Latest: h.latest, Now: now,
	}
	if n.Port == 0 {
		n.Port = mesh.Port
	}
	for _, g := range h.guests {
		n.Guests, n.Ports = append(n.Guests, g.Self), append(n.Ports, g.Ports)
	}
	for name := range h.index {
		var r Reach
		if p := h.chooser.Path(name); p != nil {
			r.Up = p.Up()
		}
		if t := h.hubs[name]; t != nil && len(t.addrs) > 0 {
			at := t.addrs[t.next%len(t.addrs)]
			r.At, r.Port, r.Fixed = at.Addr(), at.Port(), !r.Up
		}
		n.Hubs[name] = r
	}
	for name, m := range h.members {
		if m.via != "" {
			n.Via[name] = m.via
		}
	}
	return n
}

// round is what is done again and again.
func (h *Helper) round(ctx context.Context, now time.Time) {
	h.sluggish = !h.last.IsZero() && now.Sub(h.last) > h.cfg.Timing.Every+h.cfg.Timing.Timeout/2
	h.last = now
	if err := h.cfg.Beat(h.status()); err != nil {
		h.cfg.Log.Debug("the service manager is not told", "err", err)
	}
	if h.pending {
		h.settle(now)
	}
	if !now.Before(h.due.resolve) {
		h.due.resolve = now.Add(resolveEvery)
		if h.chooser.Alone() {
			h.due.resolve = now.Add(resolveAlone)
		}
		h.resolve(ctx)
	}
	if !now.Before(h.due.examine) {
		h.due.examine = now.Add(examineEvery)
		h.examine(h.node(now))
	}
	news := !now.Before(h.due.observe)
	if news {
		h.due.observe = now.Add(observeEvery)
		if h.changing(now) {
			h.due.observe = now // a hub lets a new key in as soon as it was used
		}
		h.observe(now)
	}
	h.decide(now)
	h.say(now)
	h.probe(ctx, now)
	if news {
		h.tell(now)
	}
}

// changing reports whether some node has two keys that count.
func (h *Helper) changing(now time.Time) bool {
	return slices.ContainsFunc(h.wanted.Map.Nodes, func(n mesh.Node) bool { return len(n.Keys) > 1 && len(n.Good(now)) > 1 })
}

// decide draws the consequences of what is known.
func (h *Helper) decide(now time.Time) {
	if hub, why := h.chooser.Choose(now); why != "" && !h.node(now).isHub() {
		h.cfg.Log.Info("packets go through another hub", "hub", hub, "why", why)
	}
	h.rotate(now)
	h.reconcile(now)
}

// reconcile makes the host what is wanted: all of it when that has changed or its
// time has come, the routes alone if nothing else has.
func (h *Helper) reconcile(now time.Time) {
	if !h.told {
		return
	}
	s := device.State{}
	if h.clash == "" {
		s = h.node(now).Layout()
	}
	due := !now.Before(h.due.reconcile)
	if !due && reflect.DeepEqual(s, h.applied) {
		return
	}
	err := h.apply(s, due)
	h.applied = s
	switch {
	case err != nil:
		if h.fault == "" {
			h.cfg.Log.Error("the mesh is not as it should be", "err", err)
		}
		h.fault = err.Error()
		h.applied = device.State{} // so that it is tried again
		h.due.reconcile = now.Add(calm)
	case h.fault != "":
		h.cfg.Log.Info("the mesh is as it should be again")
		h.fault = ""
	}
}

// apply brings the packets to another hub first, if that is among what has changed:
// the rest takes longer.
func (h *Helper) apply(s device.State, all bool) error {
	if all {
		h.due.reconcile = time.Now().Add(reconcileEvery)
		return h.cfg.Device.Apply(s)
	}
	// A route needs its link, and the address that it sends from.
	same := slices.EqualFunc(s.Links, h.applied.Links, func(a, b device.Link) bool {
		return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses)
	})
	if same && !reflect.DeepEqual(s.Routes, h.applied.Routes) {
		if err := h.cfg.Device.Route(s); err != nil {
			return err
		}
		h.applied.Routes = s.Routes
	}
	if reflect.DeepEqual(s, h.applied) {
		return nil
	}
	return h.cfg.Device.Apply(s)
}

// status is what systemctl status shows.
func (h *Helper) status() string {
	switch n := h.node(h.last); {
	case h.clash != "":
		return "off: " + h.clash
	case h.fault != "":
		return "not as it should be: " + h.fault
	case n.isHub():
		return fmt.Sprintf("hub of %d members", len(h.members))
	case h.chooser.Active() != "":
		return fmt.Sprintf("by hub %s, map %d", h.chooser.Active(), h.wanted.Map.Version)
	case len(h.applied.Links) > 0:
		return "no hub answers"
	}
	return "not in a mesh"
}

// resolve looks for the addresses of the hubs, beside the main loop.
func (h *Helper) resolve(ctx context.Context) {
	for _, n := range h.wanted.Map.Hubs() {
		if n.Name == h.wanted.Self || h.asked["name of "+n.Name] {
			continue
		}
		h.asked["name of "+n.Name] = true
		endpoints := n.Static()
		go func() { // ends with ctx, which the main loop cancels
			var addrs []netip.AddrPort
			for _, e := range endpoints {
				addrs = append(addrs, h.lookUp(ctx, e)...)
			}
			h.post(ctx, func() {
				delete(h.asked, "name of "+n.Name)
				h.found(n.Name, addrs)
			})
		}()
	}
}

func (h *Helper) lookUp(ctx context.Context, endpoint string) (all []netip.AddrPort) {
	if at, err := netip.ParseAddrPort(endpoint); err == nil {
		return []netip.AddrPort{at}
	}
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return nil // the map was checked: it is not so
	}
	number, err := net.LookupPort("udp", port)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	addrs, err := h.cfg.Resolve(ctx, host)
	if err != nil {
		h.cfg.Log.Debug("the name of a hub is not known now", "host", host, "err", err) // the addresses known before stay
	}
	for _, a := range addrs {
		all = append(all, netip.AddrPortFrom(a.Unmap(), uint16(number)))
	}
	return all
}

// found notes where a hub is. What is not known now stays as it was.
func (h *Helper) found(name string, addrs []netip.AddrPort) {
	if _, ok := h.index[name]; !ok || len(addrs) == 0 {
		return
	}
	now := time.Now()
	t := h.hubs[name]
	if t == nil || !reflect.DeepEqual(t.addrs, addrs) {
		h.hubs[name] = &hub{addrs: addrs, since: now}
	}
	h.measure()
}

// measure derives the links' MTU from the ways to the hubs.
func (h *Helper) measure() {
	least := 0
	for _, t := range h.hubs {
		for _, a := range t.addrs {
			mtu, err := h.cfg.Device.PathMTU(a.Addr())
			if err != nil {
				h.cfg.Log.Debug("no way to a hub now", "hub", a, "err", err)
				continue
			}
			if least == 0 || mtu < least {
				least = mtu
			}
		}
	}
	if least != h.underlay {
		h.underlay, h.small = least, false // another way: what was found out about the old one is void
	}
	if h.mtu = MTU(least); h.small {
		h.mtu = minMTU
	}
}
