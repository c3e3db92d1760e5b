package mesh

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// Bounds of a map.
const (
	MaxNodes     = 2048 // twice what one pool of gossip is for
	MaxClients   = 512
	MaxRevoked   = 4096
	MaxKeys      = 3  // of one node: one in use, one that comes, one that went and is not forgotten yet
	MaxEndpoints = 10 // of one node
	MaxHubs      = 16
	MaxPriority  = 100
	maxEndpoint  = 255 + len(":65535")
	maxInterface = 15 // characters, as Linux allows (IFNAMSIZ - 1)
)

// Check reports what is wrong with a map. One without faults is safe to act on: all
// is within its bounds, every address is what its owner's ID makes it, and no
// name, address or key is there twice.
func (m Map) Check() error {
	switch {
	case !fleet.ValidName(m.Cluster):
		return fmt.Errorf("the cluster's name is %.40q", m.Cluster)
	case m.Prefix.Bits() != prefixBits || m.Prefix != m.Prefix.Masked() || m.Prefix.Addr().As16()[0] != 0xfd || !m.Prefix.Addr().Is6():
		return fmt.Errorf("the prefix %v is no /48 of unique local IPv6 addresses", m.Prefix)
	case m.IPv4.IsValid() && CheckRange(m.IPv4) != nil:
		return CheckRange(m.IPv4)
	case len(m.Nodes) > MaxNodes || len(m.Clients) > MaxClients || len(m.Revoked) > MaxRevoked || len(m.Rotate) > MaxNodes:
		return errors.New("there are more nodes, clients or revoked keys than a map may have")
	}
	seen := seen{m: m, addresses: map[netip.Addr]bool{}, keys: map[PublicKey]bool{}}
	for i, k := range m.Revoked {
		if seen.keys[k] || i > 0 && !less(m.Revoked[i-1], k) {
			return errors.New("the revoked keys are not in order")
		}
		seen.keys[k] = true
	}
	hubs := 0
	for i, n := range m.Nodes {
		if i > 0 && m.Nodes[i-1].Name >= n.Name {
			return fmt.Errorf("the nodes are not in the order of their names at %.40q", n.Name)
		}
		if err := seen.node(n); err != nil {
			return fmt.Errorf("node %.40q: %w", n.Name, err)
		}
		if n.Hub != nil {
			hubs++
		}
	}
	if hubs > MaxHubs {
		return fmt.Errorf("%d hubs are more than %d", hubs, MaxHubs)
	}
	for i, c := range m.Clients {
		if i > 0 && m.Clients[i-1].Name >= c.Name {
			return fmt.Errorf("the clients are not in the order of their names at %.40q", c.Name)
		}
		if err := seen.client(c); err != nil {
			return fmt.Errorf("client %.40q: %w", c.Name, err)
		}
	}
	for i, r := range m.Rotate {
		if !fleet.ValidName(r.Name) || i > 0 && m.Rotate[i-1].Name >= r.Name {
			return fmt.Errorf("the rotations are not in the order of their names at %.40q", r.Name)
		}
	}
	return nil
}

// CheckRange reports why a range cannot be the mesh's IPv4 addresses.
func CheckRange(p netip.Prefix) error {
	switch {
	case !p.IsValid() || !p.Addr().Is4():
		return fmt.Errorf("%v is no range of IPv4 addresses; give one as in 10.77.0.0/16", p)
	case p != p.Masked():
		return fmt.Errorf("%v has bits beyond its length; give %v", p, p.Masked())
	case p.Bits() < 8 || p.Bits() > 28:
		return fmt.Errorf("%v is not between a /8 and a /28; give one as in 10.77.0.0/16", p)
	case !p.Addr().IsPrivate() && !shared.Contains(p.Addr()):
		return fmt.Errorf("%v is not for private use; give one of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", p)
	}
	return nil
}

// shared is the space of carriers (RFC 6598). Other VPNs use it, and so may the
// provider: it is allowed to whoever asks for it.
var shared = netip.MustParsePrefix("100.64.0.0/10")

// seen is what a map has had so far.
type seen struct {
	m         Map
	addresses map[netip.Addr]bool
	keys      map[PublicKey]bool
}

func (s seen) node(n Node) error {
	id, err := identity.ParseID(n.ID)
	switch {
	case err != nil:
		return err
	case id.Cluster != s.m.Cluster || id.Name != n.Name || id.Role != n.Role:
		return fmt.Errorf("its ID is %s", id)
	case len(n.Keys) == 0 || len(n.Keys) > MaxKeys:
		return fmt.Errorf("it has %d keys, not 1 to %d", len(n.Keys), MaxKeys)
	case n.Site != "" && !fleet.ValidName(n.Site):
		return fmt.Errorf("its site is %.40q", n.Site)
	case n.Host != "" && (!fleet.ValidName(n.Host) || n.Host == n.Name || n.Hub != nil):
		return fmt.Errorf("it is a hub or its own guest, and shares the place of %.40q", n.Host)
	case n.Hub != nil && (n.Role != fleet.Coordinator || n.Hub.Priority < 0 || n.Hub.Priority > MaxPriority || len(n.Static()) == 0):
		return errors.New("it is no coordinator, has no static endpoint, or its priority is out of bounds, and cannot be a hub")
	}
	for i, k := range n.Keys {
		if k.Generation == 0 || i > 0 && n.Keys[i-1].Generation >= k.Generation {
			return errors.New("its keys are not in the order of their generations, from 1")
		}
		if err := CheckInterface(k.Interface); err != nil {
			return err
		}
		if err := s.key(k.Public); err != nil {
			return err
		}
	}
	if err := CheckEndpoints(n.Endpoints); err != nil {
		return err
	}
	for _, e := range n.Endpoints {
		if at, err := netip.ParseAddrPort(e.Address); err == nil && s.m.Within(at.Addr()) {
			return fmt.Errorf("its endpoint %s is inside the mesh", e.Address)
		}
	}
	return s.address(n.Address, NodeHost(n.Role, n.ID), n.IPv4)
}

func (s seen) client(c Client) error {
	if !fleet.ValidName(c.Name) || c.Expires.IsZero() {
		return errors.New("its name or its end is missing")
	}
	if err := s.key(c.Public); err != nil {
		return err
	}
	return s.address(c.Address, ClientHost(s.m.Cluster, c.Name), c.IPv4)
}

func (s seen) key(k PublicKey) error {
	if k.IsZero() || s.keys[k] {
		return errors.New("a key of it is empty, revoked, or there twice")
	}
	s.keys[k] = true
	return nil
}

func (s seen) address(a netip.Addr, h Host, v4 netip.Addr) error {
	if a != h.In(s.m.Prefix) || s.addresses[a] {
		return fmt.Errorf("its address %v is not what its ID makes it, or another's", a)
	}
	s.addresses[a] = true
	if v4.IsValid() {
		if !s.m.IPv4.IsValid() || !s.m.IPv4.Contains(v4) || s.addresses[v4] {
			return fmt.Errorf("its address %v is not of the range, or another's", v4)
		}
		s.addresses[v4] = true
	}
	return nil
}

// CheckInterface reports why a text cannot name an interface; an empty one names
// none.
func CheckInterface(name string) error {
	if len(name) > maxInterface || name == "." || name == ".." || !printable(name) {
		return fmt.Errorf("%.40q cannot name an interface; use 1 to %d letters, digits and hyphens, as in ps0", name, maxInterface)
	}
	return nil
}

func printable(name string) bool {
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return false
		}
	}
	return true
}

// CheckEndpoints reports the first endpoint that is not fit for a map.
func CheckEndpoints(all []Endpoint) error {
	if len(all) > MaxEndpoints {
		return fmt.Errorf("%d endpoints are more than %d", len(all), MaxEndpoints)
	}
	for _, e := range all {
		if !slices.Contains([]Kind{Static, LAN, Global}, e.Kind) {
			return fmt.Errorf("the endpoint %.64q is of kind %.20q", e.Address, e.Kind)
		}
		if len(e.Address) > maxEndpoint {
			return errors.New("an endpoint is too long")
		}
		if err := identity.CheckAddress(e.Address); err != nil {
			return err
		}
		// Only a person gives a name, which whoever dials it resolves.
		if _, err := netip.ParseAddrPort(e.Address); err != nil && e.Kind != Static {
			return fmt.Errorf("the endpoint %.64q is no IP address with a port", e.Address)
		}
	}
	return nil
}

func less(a, b PublicKey) bool { return slices.Compare(a[:], b[:]) < 0 }
