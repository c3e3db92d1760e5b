package helper

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet/choice"
)

// ask sends one probe beside the main loop and has note called in it with the
// outcome. A second one of the same name waits until the first is done. What is
// missed while this host was too busy to ask in time does not count.
func (h *Helper) ask(ctx context.Context, name, link string, to netip.Addr, limit time.Duration, note func(sent time.Time, rtt time.Duration, ok bool)) {
	h.send(ctx, name, link, to, 0, limit, note)
}

// send is ask with a packet of so many bytes.
func (h *Helper) send(ctx context.Context, name, link string, to netip.Addr, size int, limit time.Duration, note func(sent time.Time, rtt time.Duration, ok bool)) {
	if h.asked[name] {
		return
	}
	h.asked[name] = true
	sent, sluggish := time.Now(), h.sluggish
	go func() { // ends with ctx, which the main loop cancels
		rtt, err := h.cfg.Echo.Ask(ctx, link, to, size, limit)
		h.post(ctx, func() {
			delete(h.asked, name)
			if err == nil || !sluggish && !h.sluggish {
				note(sent, rtt, err == nil)
			}
		})
	}()
}

// probe asks everybody whose turn it is.
func (h *Helper) probe(ctx context.Context, now time.Time) {
	n := h.node(now)
	if _, ok := n.me(); !ok {
		return
	}
	for _, hub := range n.Map.Hubs() {
		if hub.Name == n.Self {
			continue
		}
		h.ask(ctx, hub.Name+now.String(), n.HubLink(hub.Name), hub.Address, h.chooser.Wait(hub.Name), func(sent time.Time, rtt time.Duration, ok bool) {
			h.chooser.Answer(hub.Name, sent, rtt, ok)
		})
	}
	if !now.Before(h.due.fill) {
		h.due.fill = now.Add(fillEvery)
		h.fill(ctx, n)
	}
	if n.isHub() {
		if !now.Before(h.due.seek) {
			h.due.seek = now.Add(seekEvery)
			h.seek(ctx, n)
		}
		return
	}
	for name, d := range h.direct {
		if to, ok := n.Map.Find(name); ok && d.Stage() >= choice.Proving {
			h.ask(ctx, "direct to "+name+now.String(), n.DirectLink(), to.Address, d.Wait(), d.Answer)
		}
	}
	if !now.Before(h.due.through) {
		h.due.through = now.Add(h.cfg.Timing.Through)
		h.through(ctx, n)
	}
}

// fill sends each hub that answers a packet of the full size. Where these get lost and
// small ones do not, something on the way takes less than this host knows of, and
// says nothing: the links get the size that every network has to take.
func (h *Helper) fill(ctx context.Context, n Node) {
	for _, hub := range n.Map.Hubs() {
		p := h.chooser.Path(hub.Name)
		if hub.Name == n.Self || p == nil || !p.Up() || h.mtu <= minMTU {
			continue
		}
		h.send(ctx, "full size to "+hub.Name, n.HubLink(hub.Name), hub.Address, h.mtu, 2*h.chooser.Wait(hub.Name), func(sent time.Time, _ time.Duration, ok bool) {
			switch {
			case ok:
				h.swallowed[hub.Name] = 0
			case p.Up() && !p.Answered().Before(sent): // a small one passed meanwhile
				h.swallowed[hub.Name]++
			}
			if h.swallowed[hub.Name] >= fills && h.mtu > minMTU {
				h.cfg.Log.Warn("large packets get lost on the way to a hub; smaller ones from now on", "hub", hub.Name, "mtu_bytes", minMTU, "was_bytes", h.mtu,
					"remedy", "have the router between let ICMP pass (fragmentation needed, packet too big)")
				h.mtu, h.small = minMTU, true
			}
		})
	}
}

// through asks third members by all hubs that answer at once: whether they do not
// only answer, but forward. Hubs answer by their own tunnels to this node; the answer
// of another member, a different one each time, comes through whichever hub it is at.
func (h *Helper) through(ctx context.Context, n Node) {
	var members, hubs []mesh.Node
	for _, m := range n.Map.Nodes {
		switch p := h.chooser.Path(m.Name); {
		case m.Name == n.Self || n.apart(m): // a guest's answer does not tell that the hub that it is at forwards
		case m.Hub == nil:
			members = append(members, m)
		case p != nil && p.Up():
			hubs = append(hubs, m)
		}
	}
	h.turn++
	if len(members) > 0 {
		h.third(ctx, n, members[h.turn%len(members)])
	}
	if len(hubs) < 2 {
		return
	}
	others := slices.DeleteFunc(slices.Clone(hubs), func(m mesh.Node) bool { return m.Name == h.chooser.Active() })
	h.third(ctx, n, others[h.turn%len(others)]) // by the active one, among others
	if len(others) < len(hubs) {
		active, _ := n.Map.Find(h.chooser.Active())
		h.third(ctx, n, active) // by those that stand by: whether they could take over
	}
}

// third asks one member by all hubs.
func (h *Helper) third(ctx context.Context, n Node, third mesh.Node) {
	var by []string
	for hub := range h.index {
		if p := h.chooser.Path(hub); p != nil && p.Up() && hub != third.Name && !h.asked[third.Name+" through "+hub] {
			by = append(by, hub)
		}
	}
	answered, left := map[string]bool{}, len(by)
	begun := time.Now()
	for _, hub := range by {
		h.ask(ctx, third.Name+" through "+hub, n.HubLink(hub), third.Address, 2*h.chooser.Wait(hub), func(_ time.Time, _ time.Duration, ok bool) {
			answered[hub] = ok
			if left--; left == 0 {
				h.chooser.Through(answered, h.answersSince(third.Name, begun), begun)
			}
		})
	}
}

// answersSince reports whether a member has answered this node by a tunnel of its
// own to a probe sent since then. Having been up is not enough: it may just have gone.
func (h *Helper) answersSince(name string, begun time.Time) bool {
	if d := h.direct[name]; d != nil && d.Stage() == choice.Used && !d.Path().Answered().Before(begun) {
		return true
	}
	p := h.chooser.Path(name)
	return p != nil && !p.Answered().Before(begun)
}

// seek has a hub look for the members that have gone silent at the other hubs.
func (h *Helper) seek(ctx context.Context, n Node) {
	const most = 64 // in one round
	asked := 0
	for name, m := range h.members {
		to, ok := n.Map.Find(name)
		if !ok || time.Since(m.heard) < silent {
			continue
		}
		if p := h.chooser.Path(m.via); m.via != "" && (p == nil || !p.Up()) {
			m.via = ""
		}
		for hub := range h.index {
			if p := h.chooser.Path(hub); p == nil || !p.Up() || m.via != "" && m.via != hub {
				continue
			}
			if asked++; asked > most {
				return
			}
			h.ask(ctx, name+" at "+hub, n.HubLink(hub), to.Address, time.Second, func(_ time.Time, _ time.Duration, ok bool) {
				switch {
				case ok && time.Since(m.heard) >= silent:
					m.via, m.missed = hub, 0
				case m.via == hub:
					if m.missed++; m.missed >= 2 {
						m.via = ""
					}
				}
			})
		}
	}
}

// observe reads what WireGuard knows, and moves what depends on it.
func (h *Helper) observe(now time.Time) {
	n := h.node(now)
	all, err := h.cfg.Device.Observe()
	if err != nil {
		h.cfg.Log.Warn("WireGuard cannot be asked how it fares", "err", err)
		return
	}
	h.observed = all
	h.latest = map[mesh.PublicKey]time.Time{}
	for _, link := range all {
		if link.Name == n.ObserverLink() {
			continue
		}
		for key, p := range link.Peers {
			if p.Handshake.After(h.latest[key]) {
				h.latest[key] = p.Handshake
			}
		}
	}
	for name, t := range h.hubs { // the next address of one that does not answer
		p := h.chooser.Path(name)
		if p != nil && !p.Up() && now.Sub(t.since) >= nextEndpoint && len(t.addrs) > 1 {
			t.next, t.since = (t.next+1)%len(t.addrs), now
		}
	}
	if n.isHub() {
		h.attend(n, all[n.MembersLink()].Peers, now)
		h.direct = map[string]*choice.Direct{}
		return
	}
	h.members = map[string]*member{}
	h.approach(n, now)
}

// examine looks for networks of this host that the mesh would take the place of.
func (h *Helper) examine(n Node) {
	networks, err := h.cfg.Device.Networks()
	if err != nil {
		h.cfg.Log.Warn("the networks of this host cannot be listed", "err", err)
		return
	}
	h.networks = networks
	was := h.clash
	h.clash = ""
	if n.Map.Version != 0 {
		if err := n.Map.Clash(slices.Concat(networks.Addresses, networks.Routes)); err != nil {
			h.clash = err.Error()
		}
	}
	if h.clash != was && h.clash != "" {
		h.cfg.Log.Error("the mesh would take the place of a network of this host, and is off", "err", h.clash)
	}
}
