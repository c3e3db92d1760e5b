package helper

import (
	"net/netip"
	"slices"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
)

// mostDirect is how many direct paths a node tries: those of its own site first.
const mostDirect = 64

// attend notes which members a hub hears.
func (h *Helper) attend(n Node, peers map[mesh.PublicKey]device.PeerFacts, now time.Time) {
	there := map[string]bool{}
	for _, m := range n.Map.Nodes {
		if m.Name == n.Self || m.Hub != nil || n.apart(m) {
			continue
		}
		there[m.Name] = true
		known := h.members[m.Name]
		if known == nil {
			known = &member{heard: now} // it gets its time to come
			h.members[m.Name] = known
		}
		var received int64
		for _, k := range m.Good(now) {
			received += peers[k.Public].Received
		}
		if received != known.received {
			known.received, known.heard, known.via, known.missed = received, now, "", 0
		}
	}
	for name := range h.members {
		if !there[name] {
			delete(h.members, name)
		}
	}
}

// approach moves the direct paths on.
func (h *Helper) approach(n Node, now time.Time) {
	me, _ := n.me()
	wanted := map[string]bool{}
	nat := h.nat(n)
	for _, near := range []bool{true, false} {
		for _, m := range n.Map.Nodes {
			same := me.Site != "" && m.Site == me.Site
			if m.Name == n.Self || m.Hub != nil || n.apart(m) || same != near || len(wanted) >= mostDirect {
				continue
			}
			where := h.candidates(n, m, same, nat)
			d := h.direct[m.Name]
			if d == nil && len(where) == 0 {
				continue
			}
			if d == nil {
				d = &choice.Direct{}
				h.direct[m.Name] = d
			}
			wanted[m.Name] = true
			d.Candidates(where, now)
			was := d.Stage()
			var shaken time.Time
			for _, k := range m.Good(now) {
				if p := h.observed[n.DirectLink()].Peers[k.Public]; p.Handshake.After(shaken) {
					shaken = p.Handshake
				}
			}
			is := d.Step(shaken, now)
			if is == choice.Used && was != is {
				h.cfg.Log.Info("packets go directly", "node", m.Name, "rtt_ms", milliseconds(d.Path().RTT()))
			} else if was == choice.Used && was != is {
				h.cfg.Log.Info("packets go through the hub", "node", m.Name, "why", "the direct path does not answer")
			}
		}
	}
	for name := range h.direct {
		if !wanted[name] {
			delete(h.direct, name)
		}
	}
}

// candidates are where a member may be reached directly, the likeliest first: what
// its operator says, then where it is heard in a network of this host, then, of one
// site, its own addresses there, then where hubs see it, then its own ones in the Internet. Those of the mesh itself are none, or a
// tunnel would run in a tunnel.
func (h *Helper) candidates(n Node, m mesh.Node, same bool, nat mesh.NAT) (all []netip.AddrPort) {
	add := func(at netip.AddrPort) {
		inside := n.Map.Prefix.Contains(at.Addr()) || n.Map.IPv4.IsValid() && n.Map.IPv4.Contains(at.Addr())
		if at.IsValid() && !inside && !at.Addr().IsLinkLocalUnicast() && !at.Addr().IsLoopback() && len(all) < mesh.MaxEndpoints && !slices.Contains(all, at) {
			all = append(all, at)
		}
	}
	kind := func(k mesh.Kind) {
		for _, e := range m.Endpoints {
			if at, err := netip.ParseAddrPort(e.Address); err == nil && e.Kind == k {
				add(at)
			}
		}
	}
	kind(mesh.Static)
	add(h.nearby(m.Name)) // one network, whatever site it is said to be
	if same {
		kind(mesh.LAN)
	}
	if seen := h.sightings(m.Name); len(seen) > 0 && nat != mesh.NATHard && natOf(seen, nil) != mesh.NATHard {
		for _, at := range seen {
			add(at)
		}
	}
	kind(mesh.Global)
	return all
}

// sightings are where hubs see the direct tunnels of a node come from.
func (h *Helper) sightings(name string) (all []netip.AddrPort) {
	for _, s := range h.wanted.Sightings {
		if at, err := netip.ParseAddrPort(s.Endpoint); err == nil && s.Node == name {
			all = append(all, at)
		}
	}
	return all
}

// nat is what stands between this node and its hubs.
func (h *Helper) nat(n Node) mesh.NAT {
	var own []netip.Addr
	for _, l := range h.networks.Addresses {
		own = append(own, l.Prefix.Addr())
	}
	return natOf(h.sightings(n.Self), own)
}

// natOf tells the kind of NAT by where hubs see one and the same socket: a port that
// depends on whom it talks to cannot be told to anybody else.
func natOf(seen []netip.AddrPort, own []netip.Addr) mesh.NAT {
	if len(seen) == 0 {
		return mesh.NATUnknown
	}
	ports := map[netip.Addr]uint16{}
	for _, at := range seen {
		if p, ok := ports[at.Addr()]; ok && p != at.Port() {
			return mesh.NATHard
		}
		ports[at.Addr()] = at.Port()
	}
	for a := range ports {
		if !slices.Contains(own, a) {
			return mesh.NATEasy
		}
	}
	return mesh.NATNone
}

// tell makes the facts known.
func (h *Helper) tell(now time.Time) {
	n := h.node(now)
	me, in := n.me()
	f := meshnet.Facts{Self: n.Self, At: now, Generation: h.oldest(), Report: mesh.Report{
		Version: n.Map.Version, Hub: h.chooser.Active(), MTU: h.mtu,
		Facts: mesh.Facts{NAT: h.nat(n), Clash: meshnet.Cut(h.clash), Fault: meshnet.Cut(h.fault + h.refused), Backend: h.backend()},
	}}
	r := &f.Report
	for _, hub := range n.Map.Hubs() {
		if p := h.chooser.Path(hub.Name); p != nil && in {
			r.Links = append(r.Links, h.describe(n.HubLink(hub.Name), hub, p, now))
			if !p.Up() && !h.chooser.Alone() && len(r.Facts.Blocked) < mesh.MaxHubs {
				r.Facts.Blocked = append(r.Facts.Blocked, hub.Name)
			}
		}
	}
	for _, m := range n.Map.Nodes {
		if d := h.direct[m.Name]; d != nil && len(r.Links) < mesh.MaxLinks {
			if d.Stage() == choice.Used {
				r.Links = append(r.Links, h.describe(n.DirectLink(), m, d.Path(), now))
			}
		}
		if in && me.Hub != nil && m.Hub == nil {
			if len(r.Links) < mesh.MaxLinks {
				r.Links = append(r.Links, h.attended(n, m, now))
			}
			if n.apart(m) {
				continue
			}
			for _, k := range m.Good(now) {
				if p := h.observed[n.ObserverLink()].Peers[k.Public]; p.Endpoint.IsValid() && !p.Handshake.IsZero() && now.Sub(p.Handshake) < 3*time.Minute {
					r.Sightings = append(r.Sightings, mesh.Sighting{Node: m.Name, Endpoint: p.Endpoint.String()})
				}
			}
		}
	}
	if f.Guests = n.Guests; in && me.Hub != nil {
		r.Hub, f.Forwards = "", true
	}
	h.facts.Store(f)
}

func (h *Helper) describe(link string, m mesh.Node, p *choice.Path, now time.Time) mesh.Link {
	l := mesh.Link{Peer: m.Name, Up: p.Up(), RTT: milliseconds(p.RTT()), Loss: p.Loss(), MTU: h.observed[link].MTU}
	h.tunnel(&l, h.observed[link].Peers, m, now)
	return l
}

// attended is how a hub sees a member.
func (h *Helper) attended(n Node, m mesh.Node, now time.Time) mesh.Link {
	l := mesh.Link{Peer: m.Name, MTU: h.mtu}
	if by, guest := n.Map.Housed(m); slices.Contains(n.Guests, m.Name) || guest && by.Name == n.Self {
		l.Up = slices.Contains(n.Guests, m.Name)
		return l
	} else if guest {
		l.Via = by.Name
		if p := h.chooser.Path(by.Name); p != nil {
			l.Up = p.Up()
		} else if known := h.members[by.Name]; known != nil {
			l.Up = now.Sub(known.heard) < silent || known.via != ""
		}
		return l
	}
	if known := h.members[m.Name]; known != nil {
		l.Up, l.Via = now.Sub(known.heard) < silent || known.via != "", known.via
	}
	h.tunnel(&l, h.observed[n.MembersLink()].Peers, m, now)
	return l
}

func (h *Helper) tunnel(l *mesh.Link, peers map[mesh.PublicKey]device.PeerFacts, m mesh.Node, now time.Time) {
	for _, k := range m.Good(now) {
		p, ok := peers[k.Public]
		if !ok || p.Handshake.IsZero() && l.Endpoint != "" {
			continue
		}
		if p.Endpoint.IsValid() {
			l.Endpoint = p.Endpoint.String()
		}
		if !p.Handshake.IsZero() {
			l.Handshake = max(now.Sub(p.Handshake).Seconds(), 0.001)
		}
	}
}

func (h *Helper) backend() mesh.Backend {
	for _, l := range h.observed {
		if l.Kernel {
			return mesh.Kernel
		}
		return mesh.Userspace
	}
	return ""
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
