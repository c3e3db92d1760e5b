// Package device makes a host's WireGuard interfaces, addresses, routes, rules and
// firewall what they should be.
//
// Apply takes the whole of it (State) and closes the gap to what the kernel has: at
// first boot, on a change, after somebody else meddled, and after a crash alike.
// Nothing that is not ours is touched: our interfaces carry an alias, our routes a
// protocol number and a table, our rules that table, and the firewall is one table.
// Teardown removes all of that and nothing else.
//
// Where the kernel has WireGuard, the interfaces are its own and outlive the process;
// else wireguard-go serves them from inside of it. Both are configured by wgctrl.
package device

import (
	"net/netip"
	"slices"
	"time"

	"primespark/shared/mesh"
)

// A State is all that should be.
type State struct {
	Links  []Link
	Routes []Route
	// Prefixes are those of the overlay. What is sent there and has no route is
	// refused at once, and never leaves by another way.
	Prefixes []netip.Prefix
	// Relays are the links to other hubs. What comes in by them follows the second
	// table, so that no hub hands on to a third one what came from a second.
	Relays []string
	// Probed are links whose own table, the second one, is asked for what is sent
	// through them in particular: probes reach by them what nothing else goes to yet.
	Probed []string
	// Firewall is what may come in by the links; nil closes them.
	Firewall Firewall
	// Forward is set on hubs: packets pass from link to link.
	Forward bool
}

// A Link is one WireGuard interface.
type Link struct {
	Name      string
	Key       mesh.PrivateKey
	Port      uint16 // 0: whichever is free
	MTU       int
	Addresses []netip.Addr // of this host, each alone in its prefix
	Peers     []Peer
}

// A Peer is the other end of a tunnel.
type Peer struct {
	Key       mesh.PublicKey
	Endpoint  netip.AddrPort // invalid: it comes to us
	Fixed     bool           // set Endpoint even if the peer has been heard from elsewhere
	Keepalive time.Duration  // 0: none
	Allowed   []netip.Prefix // sources accepted from it, and destinations sent to it
}

// A Route sends a destination into a link. Among those of one destination the one
// with the smallest metric counts.
type Route struct {
	To     netip.Prefix
	Link   string
	Source netip.Addr // of packets that this host sends
	Metric int        // 1 and up
	Aside  bool       // in the second table: for what came by a relay, and for what is sent through a probed link
}

// Firewall says to which ports of this host the members of a subnet of the overlay
// may connect. Whoever is in none is refused.
type Firewall []Grant

// A Grant lets the addresses of From connect to the ports.
type Grant struct {
	From []netip.Prefix
	TCP  []uint16
	UDP  []uint16
}

// LinkFacts is how a link fares.
type LinkFacts struct {
	Name   string
	Port   uint16
	MTU    int
	Kernel bool // the kernel's own WireGuard, not the one in this process
	Peers  map[mesh.PublicKey]PeerFacts
}

// PeerFacts is how a peer fares.
type PeerFacts struct {
	Endpoint  netip.AddrPort
	Handshake time.Time // zero: there was none
	Received  int64     // bytes
	Sent      int64     // bytes
}

// equalPrefixes compares without regard to order.
func equalPrefixes(a, b []netip.Prefix) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.SortFunc(a, comparePrefix)
	slices.SortFunc(b, comparePrefix)
	return slices.Equal(a, b)
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
