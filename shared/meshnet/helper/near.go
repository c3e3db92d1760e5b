package helper

import (
	"context"
	"net/netip"
	"time"

	"primespark/shared/mesh"
	"primespark/shared/meshnet/beacon"
)

// Neighbours are whoever is in the networks of this host, of which beacon.Socket is
// the real one.
type Neighbours interface {
	Say(beacon.Hello) error
	Hear(ctx context.Context, heard func(h beacon.Hello, at netip.AddrPort)) error
}

// Times of beacons.
const (
	sayEvery  = 5 * time.Second
	nearFor   = 20 * time.Second // that a neighbour that was heard is there
	nearStays = 15 * time.Second // that one is believed before another address for it is
)

// A near is where a member of the mesh was heard in a network of this host.
type near struct {
	at    netip.AddrPort
	heard time.Time
}

// neighbours hears beacons until ctx ends.
func (h *Helper) neighbours(ctx context.Context) error {
	if h.cfg.Near == nil {
		<-ctx.Done()
		return nil
	}
	return h.cfg.Near.Hear(ctx, func(hello beacon.Hello, at netip.AddrPort) {
		h.post(ctx, func() { h.hear(hello, at, time.Now()) })
	})
}

// say tells the neighbours where this node listens. A hub is where the map says.
func (h *Helper) say(now time.Time) {
	n := h.node(now)
	me, in := n.me()
	if h.cfg.Near == nil || h.wanted.Quiet || !in || me.Hub != nil || h.clash != "" || now.Before(h.due.say) {
		return
	}
	h.due.say = now.Add(sayEvery)
	hello := beacon.Hello{Port: n.Port}
	for _, k := range me.Keys {
		hello.Tags = append(hello.Tags, beacon.TagOf(k.Public))
	}
	err := h.cfg.Near.Say(hello)
	if err != nil && !h.mute { // told once; a network that comes back is sent to again
		h.cfg.Log.Info("not all networks of this host hear where it is", "err", err)
	}
	h.mute = err != nil
}

// hear notes where a member is. Of two that claim to be one, the first is believed
// while it goes on: a tunnel proves who it is, and others cannot keep it from being
// tried.
func (h *Helper) hear(hello beacon.Hello, at netip.AddrPort, now time.Time) {
	for _, m := range h.wanted.Map.Nodes {
		if m.Name == h.wanted.Self || m.Hub != nil || !tagged(m, hello) {
			continue
		}
		was := h.near[m.Name]
		switch {
		case was.at == at:
			was.heard = now
		case was.heard.IsZero() || now.Sub(was.heard) >= nearStays:
			was = near{at: at, heard: now}
		}
		h.near[m.Name] = was
	}
}

func tagged(m mesh.Node, hello beacon.Hello) bool {
	for _, k := range m.Keys {
		for _, t := range hello.Tags {
			if beacon.TagOf(k.Public) == t {
				return true
			}
		}
	}
	return false
}

// nearby is where a member was heard lately; invalid if it was not.
func (h *Helper) nearby(name string) netip.AddrPort {
	if n := h.near[name]; !n.heard.IsZero() && time.Since(n.heard) < nearFor {
		return n.at
	}
	return netip.AddrPort{}
}
