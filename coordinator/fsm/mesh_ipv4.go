package fsm

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"primespark/shared/mesh"
)

// A pool gives out the IPv4 addresses of the mesh that nobody has, or had in the
// last 30 days, from the first on. One of no range, or that is empty, gives none:
// IPv6 does without.
type pool struct {
	within netip.Prefix
	taken  map[netip.Addr]bool
	next   netip.Addr
}

func (c *change) ipv4() *pool {
	p := &pool{within: c.Mesh.Range, taken: map[netip.Addr]bool{}}
	if !p.within.IsValid() {
		return p
	}
	for _, n := range c.Mesh.Nodes {
		p.taken[n.IPv4] = true
	}
	for _, client := range c.Mesh.Clients {
		p.taken[client.IPv4] = true
	}
	for text, until := range c.Mesh.Rested {
		if a, err := netip.ParseAddr(text); err == nil && until.After(c.at) {
			p.taken[a] = true
		}
	}
	p.next = p.within.Addr().Next() // the first address names the range, and the last one means everybody
	return p
}

func (p *pool) take() (a netip.Addr) {
	for p.within.IsValid() && p.within.Contains(p.next.Next()) {
		a, p.next = p.next, p.next.Next()
		if !p.taken[a] {
			return a
		}
	}
	return netip.Addr{}
}

// rest keeps an address from others for a while: their packets would come to who
// believes that it is still the old one's.
func (c *change) rest(a netip.Addr) {
	if !a.IsValid() {
		return
	}
	c.Mesh.Rested, _ = without(c.Mesh.Rested, func(_ string, until time.Time) bool { return !until.After(c.at) })
	c.Mesh.Rested = put(c.Mesh.Rested, a.String(), c.at.Add(meshRest).UTC())
	trim(c.Mesh.Rested, mesh.MaxRevoked)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
