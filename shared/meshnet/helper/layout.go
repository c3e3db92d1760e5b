package helper

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
)

// Ports of a hub beyond the one that everybody comes to. At the second it sees from
// where a node's direct tunnels would come; the following ones are for the other
// hubs, one each, in the order of their names.
const (
	observerPort = 1
	relayPort    = 2
)

// MTUs of the links in bytes: what fits nearly everywhere, which IPv6 needs at
// least, and what fits a network of 1500 (WireGuard's overhead over IPv6 is 80).
const (
	minMTU   = 1280
	maxMTU   = 1420
	overhead = 80
)

// Metrics of the routes: smaller is preferred.
const (
	metricDirect  = 10
	metricHub     = 50
	metricActive  = 100
	metricStandby = 200
)

// keepalive of tunnels to hubs: NATs forget a mapping after 30 s and more (RFC 4787
// asks for 120).
const keepalive = 25 * time.Second

// A Node is this node's view, which Layout turns into interfaces and routes.
type Node struct {
	Self   string
	Stem   string // of the interfaces' names
	Map    mesh.Map
	Ring   mesh.Ring
	Port   uint16          // that members come to
	Ports  []meshnet.Ports // of the daemons of this host
	Guests []string        // members of this host that use the tunnels of Self
	MTU    int
	Active string            // the hub that counts
	Index  map[string]int    // of the hubs, from which their links have their names
	Keys   map[string]uint64 // generation of the key of each link that uses an older one than the newest
	Hubs   map[string]Reach  // how the hubs are reached
	Direct map[string]*choice.Direct
	Via    map[string]string            // hubs only: members that are not connected here, and the hub that they are at
	Latest map[mesh.PublicKey]time.Time // of the last handshakes, by key of the other end
	Now    time.Time

	housed map[string][]mesh.Node // who uses whose tunnels; Layout makes it
}

// A Reach is how a hub is reached.
type Reach struct {
	At    netip.Addr // of its host in the underlay; invalid: not known yet
	Port  uint16
	Fixed bool // it does not answer where it was heard last: insist on At
	Up    bool
}

// HubLink names the interface to a hub; on a hub, that to another one.
func (n Node) HubLink(hub string) string {
	kind := ""
	if n.isHub() {
		kind = "r"
	}
	return n.Stem + kind + strconv.Itoa(n.Index[hub])
}

// DirectLink, MembersLink and ObserverLink name the interface of direct paths, and
// the two that a hub has for members: to forward for them, and to see them.
func (n Node) DirectLink() string   { return n.Stem + "d" }
func (n Node) MembersLink() string  { return n.Stem + "h" }
func (n Node) ObserverLink() string { return n.Stem + "o" }

func (n Node) me() (mesh.Node, bool) { return n.Map.Find(n.Self) }

func (n Node) isHub() bool {
	me, ok := n.me()
	return ok && me.Hub != nil
}

// Layout is what the interfaces, routes and firewall should be. Without this node
// in the map it is nothing at all.
func (n Node) Layout() device.State {
	me, ok := n.me()
	if !ok {
		return device.State{}
	}
	n.housed = map[string][]mesh.Node{}
	for _, m := range n.Map.Nodes {
		if by, ok := n.Map.Housed(m); ok {
			n.housed[by.Name] = append(n.housed[by.Name], m)
		}
	}
	s := device.State{Prefixes: []netip.Prefix{n.Map.Prefix}, Firewall: n.firewall(), Forward: me.Hub != nil}
	if n.Map.IPv4.IsValid() {
		s.Prefixes = append(s.Prefixes, n.Map.IPv4)
	}
	if me.Hub != nil {
		n.hub(&s, me)
	} else {
		n.spoke(&s, me)
	}
	return s
}

// link is an interface of this node without peers.
func (n Node) link(name string, me mesh.Node, port uint16) device.Link {
	l := device.Link{Name: name, Port: port, MTU: n.MTU, Addresses: addresses(me)}
	for _, guest := range n.Guests { // after its own, which packets are sent from that have no sender yet
		if m, ok := n.Map.Find(guest); ok {
			l.Addresses = append(l.Addresses, addresses(m)...)
		}
	}
	for _, k := range n.Ring.Keys { // the newest of those that may be used
		if want, ok := n.Keys[name]; !ok && n.inMap(me, k.Generation) || ok && want == k.Generation {
			l.Key = k.Private
		}
	}
	return l
}

func (n Node) inMap(me mesh.Node, generation uint64) bool {
	return slices.ContainsFunc(me.Keys, func(k mesh.Key) bool { return k.Generation == generation })
}

// spoke lays out a node that is no hub: a link to each hub, whichever of them
// counts, and one for direct paths.
func (n Node) spoke(s *device.State, me mesh.Node) {
	for _, h := range n.Map.Hubs() {
		reach := n.Hubs[h.Name]
		l := n.link(n.HubLink(h.Name), me, 0)
		l.Peers = n.peers(h, s.Prefixes, func(p *device.Peer) {
			p.Endpoint, p.Fixed, p.Keepalive = reach.endpoint(0), reach.Fixed, keepalive
		})
		s.Links = append(s.Links, l)
		for _, p := range s.Prefixes {
			// One for each hub, so that probes can be sent by any of them.
			route(s, l, p, metricStandby+n.Index[h.Name], false)
			if h.Name == n.Active {
				route(s, l, p, metricActive, false)
			}
		}
		if reach.Up {
			for _, to := range n.reaches(h) {
				route(s, l, to, metricHub, false)
			}
		}
	}
	n.direct(s, me)
}

// direct lays out the direct paths: peers that nothing is sent to before a tunnel
// stands, a table of their own for the probes, and routes for those that carry.
func (n Node) direct(s *device.State, me mesh.Node) {
	l := n.link(n.DirectLink(), me, n.Port)
	for _, h := range n.Map.Hubs() {
		reach := n.Hubs[h.Name]
		l.Peers = append(l.Peers, n.peers(h, nil, func(p *device.Peer) {
			p.Endpoint, p.Fixed, p.Keepalive = reach.endpoint(observerPort), reach.Fixed, keepalive
		})...)
	}
	s.Probed = append(s.Probed, l.Name)
	for _, m := range n.Map.Nodes {
		d := n.Direct[m.Name]
		if d == nil || m.Hub != nil || m.Name == n.Self || n.apart(m) || len(m.Good(n.Now)) == 0 {
			continue
		}
		stands := d.Stage() >= choice.Proving
		var allowed []netip.Prefix
		if stands {
			allowed = n.reaches(m)
		}
		l.Peers = append(l.Peers, n.peers(m, allowed, func(p *device.Peer) {
			p.Endpoint, p.Fixed = d.Endpoint(), true
			if d.Stage() != choice.Resting {
				p.Keepalive = choice.Keepalive
			}
		})...)
		for _, to := range allowed {
			route(s, l, to, metricDirect, true)
			if d.Stage() == choice.Used {
				route(s, l, to, metricDirect, false)
			}
		}
	}
	s.Links = append(s.Links, l)
}

// hub lays out a hub: a link that all members come to, one that sees from where they
// would come directly, and one to each other hub.
func (n Node) hub(s *device.State, me mesh.Node) {
	members, observer := n.link(n.MembersLink(), me, n.Port), n.link(n.ObserverLink(), me, n.Port+observerPort)
	observer.Addresses = nil
	for _, p := range s.Prefixes {
		for _, aside := range []bool{false, true} {
			route(s, members, p, metricActive, aside)
		}
	}
	hubs := hubNames(n.Map)
	for _, m := range n.Map.Nodes {
		switch {
		case m.Name == n.Self || n.apart(m):
		case m.Hub != nil:
			reach := n.Hubs[m.Name]
			l := n.link(n.HubLink(m.Name), me, n.Port+relayPort+uint16(slices.Index(hubs, m.Name)))
			l.Peers = n.peers(m, s.Prefixes, func(p *device.Peer) {
				p.Endpoint = reach.endpoint(relayPort + uint16(slices.Index(hubs, n.Self)))
				p.Fixed, p.Keepalive = reach.Fixed, keepalive
			})
			s.Links, s.Relays = append(s.Links, l), append(s.Relays, l.Name)
			for _, to := range n.reaches(m) {
				route(s, l, to, metricHub, false)
			}
			for _, p := range s.Prefixes { // for probes of a member by this hub
				route(s, l, p, metricStandby+n.Index[m.Name], false)
			}
		default:
			members.Peers = append(members.Peers, n.peers(m, n.reaches(m), func(*device.Peer) {})...)
			observer.Peers = append(observer.Peers, n.peers(m, nil, func(*device.Peer) {})...)
			if _, known := n.Index[n.Via[m.Name]]; known {
				by := device.Link{Name: n.HubLink(n.Via[m.Name]), Addresses: members.Addresses}
				for _, to := range n.reaches(m) {
					route(s, by, to, metricDirect, false)
				}
			}
		}
	}
	for _, c := range n.Map.Clients {
		if n.Now.Before(c.Expires) {
			members.Peers = append(members.Peers, device.Peer{Key: c.Public, Allowed: alones(clientAddresses(c))})
		}
	}
	s.Links = append(s.Links, members, observer)
}

// peers are one for each key of a member that counts. Packets go to the one that
// shook hands last: while a key is replaced both may.
func (n Node) peers(m mesh.Node, allowed []netip.Prefix, set func(*device.Peer)) (all []device.Peer) {
	keys := m.Good(n.Now)
	newest := slices.MaxFunc(keys, func(a, b mesh.Key) int {
		return cmp.Or(n.Latest[a.Public].Compare(n.Latest[b.Public]), cmp.Compare(b.Generation, a.Generation))
	})
	for _, k := range keys {
		p := device.Peer{Key: k.Public}
		if k == newest {
			p.Allowed = allowed
		}
		set(&p)
		all = append(all, p)
	}
	return all
}

func (r Reach) endpoint(offset uint16) netip.AddrPort {
	if !r.At.IsValid() {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(r.At, r.Port+offset)
}

// firewall says who may connect to what, by the subnets of the roles.
func (n Node) firewall() device.Firewall {
	p := n.Map.Prefix
	agents, coordinators, clients := mesh.Subnet(p, fleet.Agent), mesh.Subnet(p, fleet.Coordinator), mesh.Subnet(p, "")
	nodes := []netip.Prefix{agents, coordinators}
	var all device.Firewall
	grant := func(from []netip.Prefix, udp bool, port uint16) {
		if port == 0 {
			return
		}
		g := device.Grant{From: from, TCP: []uint16{port}}
		if udp {
			g.UDP = g.TCP
		}
		all = append(all, g)
	}
	everybody := append(slices.Clone(nodes), clients)
	if n.Map.IPv4.IsValid() {
		everybody = append(everybody, n.Map.IPv4) // which has no subnets
	}
	for _, ports := range n.Ports {
		grant(everybody, false, ports.API)
		grant([]netip.Prefix{coordinators}, false, ports.Raft)
		grant(nodes, true, ports.Gossip)
		grant(nodes, false, ports.Broker)
	}
	return all
}

func addresses(m mesh.Node) []netip.Addr { return valid(m.Address, m.IPv4) }

func clientAddresses(c mesh.Client) []netip.Addr { return valid(c.Address, c.IPv4) }

func valid(all ...netip.Addr) []netip.Addr {
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsValid() })
}

// reaches are the addresses that a member's tunnels lead to: its own, and those of its
// guests. Who is on this host is reached without any.
func (n Node) reaches(m mesh.Node) []netip.Prefix {
	all := addresses(m)
	for _, guest := range n.housed[m.Name] {
		if !slices.Contains(n.Guests, guest.Name) {
			all = append(all, addresses(guest)...)
		}
	}
	return alones(all)
}

// apart reports whether this node has no tunnel to a member that is none of its hubs:
// it is a guest of another one, or on this host.
func (n Node) apart(m mesh.Node) bool {
	_, guest := n.Map.Housed(m)
	return guest || slices.Contains(n.Guests, m.Name)
}

func alones(all []netip.Addr) (each []netip.Prefix) {
	for _, a := range all {
		each = append(each, alone(a))
	}
	return each
}

// route sends a destination into a link, from this node's address of the same
// family. A node that has none, since the range of IPv4 was used up, sends nothing
// there.
func route(s *device.State, by device.Link, to netip.Prefix, metric int, aside bool) {
	for _, a := range by.Addresses {
		if a.Is4() == to.Addr().Is4() {
			s.Routes = append(s.Routes, device.Route{To: to, Link: by.Name, Source: a, Metric: metric, Aside: aside})
			return
		}
	}
}

func alone(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// hubNames are the hubs in the order that their ports follow.
func hubNames(m mesh.Map) (names []string) {
	for _, n := range m.Nodes { // which are by name
		if n.Hub != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// MTU is what the links get when the underlay takes packets of so many bytes; 0 if
// it is not known. A larger one than that of Ethernet is not believed.
func MTU(underlay int) int {
	if underlay == 0 {
		return minMTU
	}
	return min(max(underlay-overhead, minMTU), maxMTU)
}
