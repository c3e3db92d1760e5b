// Package gossip keeps the newest view of the fleet: which nodes there are,
// which of them are alive, and how they fare.
//
// Membership is hashicorp/memberlist's (SWIM with Lifeguard). On top of it each
// node announces one small record of itself, a fleet.Vital, which the others
// pass on; the newest one wins. Records spread within a second on a network
// that works, and reach everybody by the push and pull of whole states where
// packets are lost.
//
// Gossip is a hint. Whoever has the cluster's gossip key can speak in any
// node's name, since records are relayed and not signed; what is known of a node
// may be seconds old; a node that is called dead may be alive behind a broken
// link. So it may choose where a request goes, and never decides alone on what
// cannot be taken back. All traffic is encrypted; without a key nothing starts.
//
// A memberlist that was split for long never heals by itself, so a loop here
// joins the seeds and the lost members again, for ever.
package gossip

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/fleet"
	"primespark/shared/netaddr"
	"primespark/shared/run"
	"primespark/shared/watch"
)

// ErrNoKey is returned by New without a key: gossip is never in the clear.
var ErrNoKey = errors.New("no gossip key: every node has one from joining its cluster; join it again")

const (
	keySize    = 32                     // bytes, AES-256
	metaSize   = 512                    // bytes of a Member, memberlist's limit
	goodbye    = 2 * time.Second        // longest wait until the farewell has gone out
	signOfLife = 10 * time.Second       // between announcements that say nothing new
	viewPause  = 200 * time.Millisecond // between two views of a large fleet
	lateEvery  = 250 * time.Millisecond // between two looks for an address that comes later
	lateTries  = 20                     // until that is told
)

// Config says who this node is and where it gossips.
type Config struct {
	Self      fleet.Member
	Cluster   string          // its packets are taken, no other cluster's
	Key       []byte          // 32 bytes, the cluster's
	Also      [][]byte        // older or newer ones that are understood
	Bind      string          // host:port of UDP and TCP, the host an IP address or empty; port 0 is any
	Advertise string          // ip:port for the others; found if empty
	Seeds     func() []string // host:port of members to join, asked for each time; may be nil
	Size      int             // of the fleet, as far as known: a small one notices deaths sooner
	// Late has Run open the sockets, and wait until Bind, which has an IP address and a
	// port, is an address of this host: that of a network which comes up later.
	Late bool
	// RTT is how long a packet takes to the others and back, as far as known when Run
	// begins to speak; nil: as on a LAN.
	RTT func() time.Duration
	// Admit refuses, by an error, a node that tries to take part under an address; nil
	// admits whoever has the key. This node is always admitted.
	Admit func(m fleet.Member, at netip.Addr) error

	// Transport replaces the sockets at Bind, for tests.
	Transport memberlist.Transport
}

// A Gossip is this node's end of it. Its methods are safe to share.
type Gossip struct {
	config    *memberlist.Config
	transport memberlist.Transport // nil before Run, if that opens it
	bind      string
	bridge    *log.Logger
	rtt       func() time.Duration
	admit     func(m fleet.Member, at netip.Addr) error
	seeds     func() []string
	addr      string
	log       *slog.Logger
	metrics   *metrics
	view      *watch.Value[fleet.View]
	records   memberlist.TransmitLimitedQueue       // to be passed on
	large     chan []byte                           // own record that fits no packet; the newest, 1 deep
	list      atomic.Pointer[memberlist.Memberlist] // nil while Run does not run

	mu     sync.Mutex // never held while memberlist is called, which calls back under locks of its own
	roster *roster
	stale  bool // the roster has news that the view has not
}

var _ run.Part = (*Gossip)(nil)

// New opens the sockets; Run begins to speak. Close releases them if Run never
// ran.
func New(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Gossip, error) {
	meta, err := check(cfg)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	keys, err := memberlist.NewKeyring(cfg.Also, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("gossip keys: %w", err)
	}
	bridge := bridge(log)
	transport := cfg.Transport
	addr, err := netip.ParseAddrPort(cfg.Bind)
	if late := cfg.Late && transport == nil; late && (err != nil || addr.Port() == 0) {
		return nil, fmt.Errorf("gossip bind %q: an IP address and a port are wanted for a network that comes up later", cfg.Bind)
	} else if !late {
		if transport == nil {
			own, err := listen(cfg.Bind, spare(cfg.Bind), bridge)
			if err != nil {
				return nil, err
			}
			if spare(cfg.Bind) > 0 && own.port() != DefaultPort {
				log.Info("another program has the port of gossip, using the next", "port", own.port())
			}
			transport = own
		}
		if addr, err = advertise(cfg, transport); err != nil {
			return nil, errors.Join(err, transport.Shutdown())
		}
	}
	g := &Gossip{
		transport: transport, bind: cfg.Bind, bridge: bridge, rtt: cfg.RTT, admit: cfg.Admit,
		seeds:   cfg.Seeds,
		addr:    addr.String(),
		log:     log,
		metrics: m,
		large:   make(chan []byte, 1),
		roster:  newRoster(cfg.Self, time.Now()),
	}
	g.view = watch.New(g.roster.view())
	g.config = configure(cfg, addr, transport, bridge)
	g.config.Keyring = keys
	d := &delegate{gossip: g, meta: meta}
	g.config.Delegate, g.config.Events, g.config.Alive = d, d, d
	g.config.Conflict, g.config.Ping = d, d
	g.records = memberlist.TransmitLimitedQueue{RetransmitMult: g.config.RetransmitMult, NumNodes: g.size}
	return g, nil
}

func check(cfg Config) (meta []byte, err error) {
	switch {
	case len(cfg.Key) == 0:
		return nil, ErrNoKey
	case len(cfg.Key) != keySize:
		return nil, fmt.Errorf("gossip key of %d bytes: want %d; join the cluster again", len(cfg.Key), keySize)
	case !fleet.ValidName(cfg.Self.Name) || !cfg.Self.Role.Valid():
		return nil, fmt.Errorf("gossip as %q, role %q: no valid node", cfg.Self.Name, cfg.Self.Role)
	case !fleet.ValidName(cfg.Cluster):
		return nil, fmt.Errorf("gossip in cluster %q: no valid name", cfg.Cluster)
	}
	if meta, err = json.Marshal(cfg.Self); err != nil {
		return nil, fmt.Errorf("encode gossip member: %w", err)
	}
	if len(meta) > metaSize {
		return nil, fmt.Errorf("gossip member is %d bytes long, more than %d: shorten the advertised addresses", len(meta), metaSize)
	}
	return meta, nil
}

// advertise finds the address that the others are told.
func advertise(cfg Config, t memberlist.Transport) (netip.AddrPort, error) {
	var bound net.Addr
	if own, ok := t.(*sockets); ok {
		host, _, err := net.SplitHostPort(cfg.Bind)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("gossip bind %q: %w", cfg.Bind, err)
		}
		bound = &net.TCPAddr{IP: net.ParseIP(bindIP(host)), Port: own.port()}
	} else {
		ip, port, err := t.FinalAdvertiseAddr("", 0)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("advertise gossip: %w", err)
		}
		bound = &net.TCPAddr{IP: ip, Port: port}
	}
	own, err := netaddr.Own()
	if err != nil {
		return netip.AddrPort{}, err
	}
	text, err := netaddr.Advertise(cfg.Advertise, bound, own)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gossip: %w", err)
	}
	addr, err := netip.ParseAddrPort(text)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("gossip advertise %q: %w; give an IP address and a port", text, err)
	}
	return addr, nil
}

// Addr is the host:port that the others are told.
func (g *Gossip) Addr() string { return g.addr }

// View returns the newest view of the fleet. This node is in it from the start.
func (g *Gossip) View() *watch.Value[fleet.View] { return g.view }

// Announce tells the others how this node fares. Node, Boot, Seq and At are
// filled in. What says nothing new is sent on only as a sign of life, each 10 s,
// so it does no harm to call often. It fails, and changes nothing, when the
// record is larger than 16 KiB.
func (g *Gossip) Announce(v fleet.Vital) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if !g.roster.news(v, now) {
		return nil
	}
	return g.state(v, now)
}

// state makes v our newest record and sends it. It wants mu held.
func (g *Gossip) state(v fleet.Vital, now time.Time) error {
	r := g.roster.sign(record{Vital: v}, now)
	body, err := r.encode()
	if err != nil {
		return err
	}
	g.roster.hear(r, body, now)
	g.changed()
	g.send(r.Node)
	return nil
}

// restate says again what was said last, after an earlier life of this node was
// heard of that would outdo it. It wants mu held.
func (g *Gossip) restate() {
	me := g.roster.nodes[g.roster.self]
	if me.body == nil {
		return // nothing was said yet
	}
	if err := g.state(me.Vital, time.Now()); err != nil {
		g.log.Debug("vital not restated", "err", err) // it was sent before, so it can be encoded
	}
}

// send puts the newest record of a node on its way to the others. It wants mu
// held.
func (g *Gossip) send(node string) {
	body := g.roster.nodes[node].body
	if len(body) <= packetRoom {
		g.records.QueueBroadcast(&broadcast{node, body})
		return
	}
	if node != g.roster.self {
		return // its own node sends it to everyone
	}
	select {
	case <-g.large: // an older one
	default:
	}
	g.large <- body // there is room: only this function fills it, with mu held
}

// changed has the view follow the roster: at once in a small fleet. A large one
// says something new all the time, and each view costs as much as there are nodes;
// there Run makes one each viewPause. It wants mu held.
func (g *Gossip) changed() {
	g.stale = true
	if len(g.roster.nodes) <= 2*smallFleet {
		g.publish()
	}
}

// refresh publishes what is new in a large fleet.
func (g *Gossip) refresh() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stale {
		g.publish()
	}
}

// publish stores the view. It wants mu held.
func (g *Gossip) publish() {
	g.stale = false
	v := g.roster.view()
	g.view.Store(v)
	g.metrics.count(v)
}

// size is the number of nodes that are alive, for memberlist's queue.
func (g *Gossip) size() int {
	n := 0
	for _, node := range g.view.Get() {
		if node.Liveness == fleet.Alive || node.Liveness == fleet.LinkDown {
			n++
		}
	}
	return n
}

// Run gossips until ctx ends, and then says goodbye.
func (g *Gossip) Run(ctx context.Context) error {
	if !g.open(ctx) {
		return nil
	}
	if g.rtt != nil {
		stretch(g.config, g.rtt())
	}
	// It begins near the grid on which this process wakes anyway. When ctx ends meanwhile it
	// is made all the same, since only it lets go of who has called.
	run.Sleep(ctx, run.Due(g.config.GossipInterval))
	m, err := memberlist.Create(g.config)
	if err != nil {
		return errors.Join(fmt.Errorf("start gossip: %w", err), g.Close())
	}
	run.Align(time.Now()) // its tickers were made just now, and keep to that
	g.log.Info("gossiping", "addr", g.addr)
	g.list.Store(m)
	g.loop(ctx, m)
	g.list.Store(nil)
	g.farewell()
	if err := m.Leave(goodbye); err != nil {
		g.log.Debug("left without all hearing of it", "err", err)
	}
	if err := m.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

// open opens the sockets, if that was left to Run, as soon as it can be done; false
// if ctx ended before.
func (g *Gossip) open(ctx context.Context) bool {
	for tries := 0; g.transport == nil; tries++ {
		transport, err := listen(g.bind, 0, g.bridge) // no spare port: the others look for this one
		if err == nil {
			g.transport, g.config.Transport = transport, transport
			return true
		}
		if tries == lateTries {
			g.log.Warn("gossip waits for its network", "err", err, "remedy", "see prime-spark-agent doctor, and systemctl status prime-spark-mesh")
		}
		if !run.Sleep(ctx, lateEvery) {
			return false
		}
	}
	return true
}

func (g *Gossip) String() string { return "gossip" }

// ErrNoAnswer means that a node did not answer a question, or is not known.
var ErrNoAnswer = errors.New("no answer")

// Ping asks a node by one packet whether it is there, and waits for its answer as
// long as for that to a probe: 250 ms in a small fleet. Any error is ErrNoAnswer.
func (g *Gossip) Ping(node string) error {
	g.mu.Lock()
	var at address
	if n := g.roster.nodes[node]; n != nil {
		at = address(n.addr)
	}
	g.mu.Unlock()
	list := g.list.Load()
	if at == "" || list == nil {
		return fmt.Errorf("ping %s: %w: its address is not known", node, ErrNoAnswer)
	}
	if _, err := list.Ping(node, at); err != nil {
		return fmt.Errorf("ping %s: %w: %w", node, ErrNoAnswer, err)
	}
	return nil
}

// SetKeys changes the keys: the first is the one to encrypt with from now on, the
// others are understood as well, and no further ones.
func (g *Gossip) SetKeys(keys ...[]byte) error {
	if len(keys) == 0 {
		return ErrNoKey
	}
	for _, k := range keys {
		if len(k) != keySize {
			return fmt.Errorf("gossip key of %d bytes: want %d", len(k), keySize)
		}
	}
	ring := g.config.Keyring
	// The order keeps what is removed at the end of the ring where that can be:
	// memberlist shifts what comes after it while others read.
	if err := strip(ring, keys); err != nil {
		return err
	}
	if err := ring.AddKey(keys[0]); err != nil {
		return fmt.Errorf("add a gossip key: %w", err)
	}
	if err := ring.UseKey(keys[0]); err != nil {
		return fmt.Errorf("use a gossip key: %w", err)
	}
	if err := strip(ring, keys); err != nil {
		return err
	}
	for _, k := range keys[1:] {
		if err := ring.AddKey(k); err != nil {
			return fmt.Errorf("add a gossip key: %w", err)
		}
	}
	return nil
}

// strip removes all keys but those to keep and the one in use, the last first.
func strip(ring *memberlist.Keyring, keep [][]byte) error {
	for _, old := range slices.Backward(slices.Clone(ring.GetKeys())[1:]) {
		if slices.ContainsFunc(keep, func(k []byte) bool { return bytes.Equal(k, old) }) {
			continue
		}
		if err := ring.RemoveKey(old); err != nil {
			return fmt.Errorf("remove a gossip key: %w", err)
		}
	}
	return nil
}

// address is a host:port as memberlist wants it.
type address string

func (address) Network() string  { return "udp" }
func (a address) String() string { return string(a) }

// Close releases the sockets of a Gossip that does not run.
func (g *Gossip) Close() error {
	if g.transport == nil {
		return nil
	}
	if err := g.transport.Shutdown(); err != nil {
		return fmt.Errorf("close gossip: %w", err)
	}
	return nil
}

// loop does what comes with time: to join again, to notice links that went
// quiet, and to send what fits no packet.
func (g *Gossip) loop(ctx context.Context, m *memberlist.Memberlist) {
	tick := time.NewTimer(run.Due(time.Second))
	defer tick.Stop()
	j := joiner{gossip: g, list: m}
	again := time.NewTimer(0)
	defer again.Stop()
	news := time.NewTimer(run.Due(viewPause))
	defer news.Stop()
	for {
		select {
		case <-news.C:
			news.Reset(run.Due(viewPause))
			g.refresh()
		case <-again.C:
			again.Reset(j.round())
		case now := <-tick.C:
			tick.Reset(run.Due(time.Second))
			g.review(now, m.GetHealthScore())
		case body := <-g.large:
			// Ends by memberlist's TCP timeout for each member. Nobody waits for
			// it, and what it does not reach learns by push and pull.
			go sendLarge(m, body, g.log)
		case <-ctx.Done():
			return
		}
	}
}

// review looks at what only the passing of time tells. score is memberlist's
// own health: 0 is good, and each point stretches its timeouts.
func (g *Gossip) review(now time.Time, score int) {
	g.metrics.health.Set(float64(score))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.roster.review(now, quietAfter(len(g.roster.nodes), g.config.ProbeInterval, score)) {
		g.changed()
	}
}

// farewell tells the others that this node leaves on purpose.
func (g *Gossip) farewell() {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.roster.sign(record{Left: true}, time.Now())
	body, err := r.encode()
	if err != nil {
		g.log.Debug("no farewell", "err", err)
		return
	}
	g.records.QueueBroadcast(&broadcast{r.Node, body})
}
