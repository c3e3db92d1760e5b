// Package netaddr finds the address by which others can reach a listener of
// this host.
package netaddr

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Advertise returns the host:port to tell the others: the configured one if
// there is one, else where the listener is bound, else, for a listener on all
// addresses, the best of the host's own.
func Advertise(configured string, bound net.Addr, own []netip.Addr) (string, error) {
	if configured != "" {
		return configured, nil
	}
	at, err := netip.ParseAddrPort(bound.String())
	if err != nil {
		return "", fmt.Errorf("advertise %v: %w", bound, err)
	}
	ip := at.Addr().Unmap()
	if ip.IsUnspecified() {
		ip = Best(own)
	}
	return netip.AddrPortFrom(ip, at.Port()).String(), nil
}

// Best returns the address that others most likely reach: private IPv4 before
// other IPv4 before unique local and global IPv6; loopback if there is nothing
// else.
func Best(own []netip.Addr) netip.Addr {
	rank := func(a netip.Addr) int {
		a = a.Unmap()
		switch {
		case a.IsLoopback(), a.IsLinkLocalUnicast(), !a.IsValid(), a.IsMulticast(), a.IsUnspecified():
			return 9
		case a.Is4() && a.IsPrivate():
			return 0
		case a.Is4():
			return 1
		case a.IsPrivate():
			return 2
		}
		return 3
	}
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if len(own) > 0 {
		if a := slices.MinFunc(own, func(a, b netip.Addr) int { return cmp.Compare(rank(a), rank(b)) }); rank(a) < 9 {
			best = a.Unmap()
		}
	}
	return best
}

// Own returns the addresses of this host's interfaces that are up, in the
// kernel's order, container bridges left out.
func Own() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var own []netip.Addr
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 || slices.Contains([]string{"docker0", "virbr0", "lxcbr0"}, i.Name) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface went away meanwhile
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own = append(own, p.Addr())
			}
		}
	}
	return own, nil
}
