package mesh

import (
	"fmt"
	"net"
	"net/netip"
)

// Locals are the networks that this host's interfaces are in, save those that have
// an address of the mesh itself.
func (m Map) Locals() (all []Local, err error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue // the interface went away meanwhile
		}
		for _, a := range addresses {
			p, err := netip.ParsePrefix(a.String())
			if _, own := m.At(p.Addr()); err == nil && !own && !p.Addr().IsLoopback() {
				all = append(all, Local{Prefix: p, Interface: i.Name})
			}
		}
	}
	return all, nil
}
