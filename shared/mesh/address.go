package mesh

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"net/netip"

	"primespark/shared/fleet"
	"primespark/shared/problem"
)

// The subnets of the prefix: whom an address is of shows in its fourth group, so a
// firewall needs no list of nodes.
const (
	agents       = 1
	coordinators = 2
	clients      = 3
)

// prefixBits is the length of the overlay's prefix (RFC 4193, section 3.1), and
// subnetBits that of the subnet of a role in it.
const (
	prefixBits = 48
	subnetBits = 64
)

// Prefix is the IPv6 prefix of a cluster: a unique local one whose 40 bits are a
// hash of the authority's key (RFC 4193, section 3.2.2, asks for such a hash, of
// another kind of number). Anybody who has the authority's certificate makes the
// same, and two clusters of one name have different ones. ca is identity.CAHash.
func Prefix(ca [sha256.Size]byte) netip.Prefix {
	sum := sha256.Sum256(append([]byte("prime-spark mesh prefix\x00"), ca[:]...))
	var a [16]byte
	a[0] = 0xfd
	copy(a[1:6], sum[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), prefixBits)
}

// A Host is what is particular in an overlay address: subnet and interface
// identifier, without the cluster's prefix. Equal hosts are equal addresses.
type Host [10]byte

// NodeHost is that of a node, made of its ID (URI): it outlives keys, hosts and
// network cards, and everybody can compute it.
func NodeHost(role fleet.Role, uri string) Host {
	if role == fleet.Coordinator {
		return host(coordinators, uri)
	}
	return host(agents, uri)
}

// ClientHost is that of a client, made of its name.
func ClientHost(cluster, name string) Host { return host(clients, cluster+"/"+name) }

func host(subnet uint16, of string) (h Host) {
	binary.BigEndian.PutUint16(h[:], subnet)
	sum := sha256.Sum256([]byte("prime-spark mesh host\x00" + of))
	copy(h[2:], sum[:])
	return h
}

// In is the address of a host in a cluster's prefix.
func (h Host) In(p netip.Prefix) netip.Addr {
	a := p.Addr().As16()
	copy(a[prefixBits/8:], h[:])
	return netip.AddrFrom16(a)
}

// Subnet is the prefix that all nodes of a role are in; the role "" is of clients.
func Subnet(p netip.Prefix, r fleet.Role) netip.Prefix {
	subnet := uint16(clients)
	switch r {
	case fleet.Agent:
		subnet = agents
	case fleet.Coordinator:
		subnet = coordinators
	}
	a := p.Addr().As16()
	binary.BigEndian.PutUint16(a[prefixBits/8:], subnet)
	return netip.PrefixFrom(netip.AddrFrom16(a), subnetBits)
}

// Within reports whether a is an address of the overlay. No packet of WireGuard may
// go to one: it would be a tunnel in itself.
func (m Map) Within(a netip.Addr) bool {
	a = a.Unmap()
	return m.Prefix.Contains(a) || m.IPv4.IsValid() && m.IPv4.Contains(a)
}

// A Local is a network that this host has already: an address of an interface with
// its prefix, or a route.
type Local struct {
	Prefix    netip.Prefix
	Interface string
}

// Clash reports the first of a host's networks that overlaps with the mesh, as a
// problem whose words a doctor can show; nil if there is none. Default routes
// clash with nothing. The mesh's own interfaces must not be among the networks.
func (m Map) Clash(locals []Local) error {
	for _, l := range locals {
		if l.Prefix.Bits() == 0 {
			continue
		}
		switch p := l.Prefix.Masked(); {
		case m.IPv4.IsValid() && m.IPv4.Overlaps(p):
			return problem.New(problem.Conflict,
				"Set mesh.ipv4_range on the coordinators to a range that no network of yours uses, or leave it empty: IPv6 is enough.",
				"The mesh's IPv4 range %s overlaps the network %s of %s on this host.", m.IPv4, p, where(l))
		case m.Prefix.Overlaps(p):
			return problem.New(problem.Conflict,
				fmt.Sprintf("See with ip -6 route show %s which program made it, and stop that; another VPN that copied this cluster's addresses, most likely.", p),
				"The mesh's prefix %s overlaps the network %s of %s on this host.", m.Prefix, p, where(l))
		}
	}
	return nil
}

func where(l Local) string {
	if l.Interface == "" {
		return "a route"
	}
	return l.Interface
}
