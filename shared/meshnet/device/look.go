//go:build linux

package device

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"primespark/shared/mesh"
)

// PathMTU is the size of the largest packet that leaves this host towards an address
// in one piece, as far as the host knows, in bytes.
func (m *Manager) PathMTU(to netip.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	routes, err := m.nl.RouteGet(to.Unmap().AsSlice())
	if err != nil {
		return 0, fmt.Errorf("look for the way to %s: %w", to, err)
	}
	least := 0
	for _, r := range routes {
		l, err := m.nl.LinkByIndex(r.LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("look for the way to %s: %w", to, err)
		}
		mtu := l.Attrs().MTU
		if r.MTU > 0 {
			mtu = min(mtu, r.MTU)
		}
		if least == 0 || mtu < least {
			least = mtu
		}
	}
	return least, nil
}

// Networks are those that this host has besides the mesh.
type Networks struct {
	Addresses []mesh.Local // of its interfaces, with the length of the network's prefix
	Routes    []mesh.Local // of its main table
}

// Networks lists them.
func (m *Manager) Networks() (all Networks, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	links, err := m.nl.LinkList()
	if err != nil {
		return all, fmt.Errorf("list the interfaces: %w", err)
	}
	names, ours := map[int]string{}, map[int]bool{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		ours[a.Index] = a.Alias == alias && strings.HasPrefix(a.Name, m.cfg.Stem)
	}
	addrs, err := m.nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return all, fmt.Errorf("list the addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := prefixOf(*a.IPNet); ok && !ours[a.LinkIndex] {
			all.Addresses = append(all.Addresses, mesh.Local{Prefix: p, Interface: names[a.LinkIndex]})
		}
	}
	for _, f := range families {
		routes, err := m.nl.RouteListFiltered(f, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return all, fmt.Errorf("list the routes: %w", err)
		}
		for _, r := range routes {
			if r.Dst == nil || ours[r.LinkIndex] || r.Protocol == protocol {
				continue
			}
			if p, ok := prefixOf(*r.Dst); ok {
				all.Routes = append(all.Routes, mesh.Local{Prefix: p, Interface: names[r.LinkIndex]})
			}
		}
	}
	return all, nil
}
