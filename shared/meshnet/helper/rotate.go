package helper

import (
	"slices"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet/choice"
	"primespark/shared/meshnet/device"
)

// settle is how long a hub waits, after the map has its new key, for the nodes to
// have that map, too; a node waits half of it for the hubs.
const settle = 4 * time.Second

// A rotation is how far a node is with changing its key.
type rotation struct {
	to    uint64 // 0: it is not changing it
	since time.Time
	link  string    // the one that got the new key last
	moved time.Time // when
	left  time.Time // when packets were taken off the last link with the old key
}

// usable is the newest generation that both this node and the map have; 0 if none.
func (h *Helper) usable(me mesh.Node) (newest uint64) {
	for _, k := range h.wanted.Ring.Keys {
		if slices.ContainsFunc(me.Keys, func(m mesh.Key) bool { return m.Public == k.Private.Public() }) {
			newest = max(newest, k.Generation)
		}
	}
	return newest
}

// rotate brings one link after the other to the newest key, so that packets always
// have one that works: first those that carry nothing, then, with the packets gone
// to one of these, the one that did. A node with a single hub has a gap of one
// handshake. A hub changes all at once; it is to be drained before.
func (h *Helper) rotate(now time.Time) {
	n := h.node(now)
	me, ok := n.me()
	if !ok {
		clear(h.keys)
		return
	}
	newest := h.usable(me)
	links := []string{n.MembersLink(), n.ObserverLink()}
	for hub := range h.index {
		links = append(links, n.HubLink(hub))
	}
	if me.Hub == nil {
		links = append(links[2:], n.DirectLink())
	}
	slices.Sort(links)
	for l := range h.keys {
		if !slices.Contains(links, l) {
			delete(h.keys, l)
		}
	}
	for _, l := range links {
		if _, ok := h.keys[l]; !ok { // new, or this program was replaced
			h.keys[l] = newest
			if p, ok := h.present(l, me); ok {
				h.keys[l] = p
			}
		}
	}
	old := func(l string) bool { return h.keys[l] != newest }
	if !slices.ContainsFunc(links, old) {
		h.rotating = rotation{}
		return
	}
	switch r := &h.rotating; {
	case r.to != newest:
		*r = rotation{to: newest, since: now}
		return
	case now.Sub(r.since) < settle/2 || me.Hub != nil && now.Sub(r.since) < settle:
		return
	case me.Hub != nil || len(h.index) < 2:
		for _, l := range links {
			h.keys[l] = newest
		}
		return
	}
	if now.Sub(h.rotating.left) < observeEvery {
		return
	}
	active := n.HubLink(h.chooser.Active())
	if l := h.rotating.link; l != "" && l != n.DirectLink() && !h.works(n, l, now) && now.Sub(h.rotating.moved) < time.Minute {
		return // until the hub has accepted the new key there
	}
	move := func(l string) {
		h.keys[l] = newest
		h.rotating.link, h.rotating.moved = l, now
	}
	for hub := range h.index {
		if l := n.HubLink(hub); l != active && old(l) {
			move(l)
			return
		}
	}
	if old(active) {
		for hub := range h.index {
			if l := n.HubLink(hub); l != active && h.works(n, l, now) {
				h.chooser.Use(hub, now)
				h.rotating.left = now // its turn comes when the packets under way have arrived
				return
			}
		}
		return // no other one works: the key that does stays
	}
	for _, d := range h.direct {
		if d.Stage() == choice.Used || d.Stage() == choice.Proving {
			d.Withdraw(now) // packets go through the hub again before the key changes
			h.rotating.since = now
		}
	}
	if now.After(h.rotating.since) && now.Sub(h.rotating.since) >= settle/2 {
		move(n.DirectLink())
	}
}

// present is the generation of the key that an interface has already.
func (h *Helper) present(link string, me mesh.Node) (uint64, bool) {
	for _, l := range h.applied.Links {
		if l.Name != link {
			continue
		}
		for _, k := range h.wanted.Ring.Keys {
			if k.Private == l.Key && slices.ContainsFunc(me.Keys, func(m mesh.Key) bool { return m.Generation == k.Generation }) {
				return k.Generation, true
			}
		}
	}
	return 0, false
}

// works reports whether packets can go to a hub by a link that got the new key: there
// was a handshake since, and a probe, and what was sent on to third members came back.
// A hub that is not known to forward would perhaps be left again at once, for the link
// whose key changes next.
func (h *Helper) works(n Node, link string, now time.Time) bool {
	for hub := range h.index {
		if n.HubLink(hub) != link {
			continue
		}
		p := h.chooser.Path(hub)
		return p != nil && p.Up() && h.chooser.Forwards(hub, h.rotating.moved, now) && (link != h.rotating.link || p.Answered().After(h.rotating.moved) && shook(h.observed[link], h.rotating.moved))
	}
	return false
}

func shook(l device.LinkFacts, since time.Time) bool {
	for _, p := range l.Peers {
		if !p.Handshake.Before(since) {
			return true
		}
	}
	return false
}

// oldest is the generation of the oldest key in use; 0 if there are no tunnels.
func (h *Helper) oldest() (generation uint64) {
	for _, g := range h.keys {
		if generation == 0 || g < generation {
			generation = g
		}
	}
	return generation
}
