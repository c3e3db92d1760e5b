package overlay

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/gossip"
	"primespark/shared/identity"
	"primespark/shared/mesh"
)

// Address is a node's own in the mesh of the cluster of an authority. No map is
// needed to know it.
func Address(id identity.ID, authority *x509.Certificate) netip.Addr {
	return mesh.NodeHost(id.Role, id.String()).In(mesh.Prefix(identity.CAHash(authority)))
}

// Gossip has a node gossip inside the mesh: at its own address there, on the port of
// listen, with nodes of the signed map under their own addresses and nobody else,
// and with the patience that the way to the hubs asks for.
func (m *Member) Gossip(c *gossip.Config, listen string) {
	_, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		port = strconv.Itoa(gossip.DefaultPort) // the address was checked; port 0 is for tests with sockets of their own
	}
	c.Bind = net.JoinHostPort(Address(m.cfg.Self, m.cfg.Authority).String(), port)
	c.Advertise, c.Late, c.Admit, c.RTT = c.Bind, true, m.Admit, m.rtt
	told := c.Seeds
	c.Seeds = func() (all []string) {
		for _, n := range m.net.Get().Map.Nodes {
			if n.Role == fleet.Coordinator && n.Name != m.cfg.Self.Name {
				all = append(all, net.JoinHostPort(n.Address.String(), port))
			}
		}
		if told != nil {
			all = append(all, told()...)
		}
		return all
	}
}

// ErrStranger is the kind of an error of Admit.
var ErrStranger = errors.New("not of the mesh")

// Admit refuses a node that gossips and is not in the map, or not under its address
// there, or in another role. Before the first map there is nobody to talk to.
func (m *Member) Admit(who fleet.Member, at netip.Addr) error {
	n, known := m.net.Get().Map.Find(who.Name)
	switch {
	case !known:
		return fmt.Errorf("%s: %w: it is not in the map", who.Name, ErrStranger)
	case n.Role != who.Role:
		return fmt.Errorf("%s: %w: it is of role %s", who.Name, ErrStranger, n.Role)
	case at != n.Address && (!n.IPv4.IsValid() || at != n.IPv4):
		return fmt.Errorf("%s: %w: it gossips from %v and has %v", who.Name, ErrStranger, at, n.Address)
	}
	return nil
}

// rtt is the longest round trip to a hub that answers; 0 if none is known yet.
func (m *Member) rtt() (longest time.Duration) {
	for _, l := range m.Report().Links {
		if l.Up && l.Via == "" {
			longest = max(longest, time.Duration(l.RTT*float64(time.Millisecond)))
		}
	}
	return longest
}
