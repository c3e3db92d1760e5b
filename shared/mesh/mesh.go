// Package mesh is the vocabulary of the fleet's WireGuard network: the map of who
// takes part with which keys and addresses, how it is signed and kept, and what
// nodes tell of their links.
//
// The map is a decision of the coordinators. It is signed with the key of the
// cluster's authority, so it does not matter from whom or from which disk it
// comes, and it never expires: a node that boots with nobody in reach builds its
// network from the last one. A map is never taken back: an older version is refused.
//
// Only public keys are in a map. The private ones are made on the node that uses
// them and never leave it (Ring).
package mesh

import (
	"net/netip"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
)

// Port is where WireGuard listens, UDP (CONTRACT, ports).
const Port = 51820

// A Map is the whole network as it should be. One that is shared is never changed.
// Its lists are in the order of their names, so that equal maps have equal bytes.
type Map struct {
	Version uint64       `json:"version"` // a later decision has a greater one
	Cluster string       `json:"cluster"`
	Prefix  netip.Prefix `json:"prefix"`           // the /48 that all IPv6 addresses are in
	IPv4    netip.Prefix `json:"ipv4,omitzero"`    // the range of the IPv4 addresses, if the network has any
	Nodes   []Node       `json:"nodes"`            // that take part and have a key, by name
	Clients []Client     `json:"clients"`          // by name
	Revoked []PublicKey  `json:"revoked"`          // keys that no node and no client may ever be known by again, in order
	Rotate  []Rotation   `json:"rotate,omitempty"` // nodes that are asked for a newer key, by name
}

// A Node is one member of the network.
type Node struct {
	Name      string     `json:"name"`
	ID        string     `json:"id"` // identity.ID as text; its address is made of it
	Role      fleet.Role `json:"role"`
	Address   netip.Addr `json:"address"`        // IPv6, as a /128
	IPv4      netip.Addr `json:"ipv4,omitzero"`  // as a /32
	Keys      []Key      `json:"keys"`           // by generation; the last is the newest, and while it replaces another both are good
	Site      string     `json:"site,omitempty"` // nodes of one site reach each other without a hub
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	Hub       *Hub       `json:"hub,omitempty"`  // nil: it forwards for nobody
	Host      string     `json:"host,omitempty"` // the member whose place on a host it shares; see Housed
}

// A Key is a public key of a node, and from which interface on it is used.
type Key struct {
	Generation uint64    `json:"generation"` // 1 and up; a newer key has a greater one
	Public     PublicKey `json:"public"`
	Interface  string    `json:"interface,omitempty"` // the only one that uses it; empty: all of the node's
	Until      time.Time `json:"until,omitzero"`      // of a key that is being replaced: when it stops being good
}

// An Endpoint is where a node may be reached by UDP, host:port. The host of a
// static one may be a name.
type Endpoint struct {
	Kind    Kind   `json:"kind"`
	Address string `json:"address"`
}

// A Kind tells how an endpoint is known.
type Kind string

// The kinds, the most trusted first. Observed ones are hints, and never in a Map.
const (
	Static   Kind = "static"   // its operator says so
	LAN      Kind = "lan"      // an address of its own in the networks it is connected to
	Observed Kind = "observed" // where a hub sees its packets come from
	Global   Kind = "global"   // an IPv6 address of its own that is routed everywhere
)

// A Hub forwards packets between those that do not reach each other. Where to
// reach it is in its node's static endpoints.
type Hub struct {
	Priority int  `json:"priority,omitempty"` // the greater is preferred; hubs of one priority by what is measured
	Draining bool `json:"draining,omitempty"` // about to stop: leave it now, do not come back
}

// A Client is a phone or a laptop: it has one key, reaches the mesh through hubs,
// and gets no map.
type Client struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	IPv4    netip.Addr `json:"ipv4,omitzero"`
	Public  PublicKey  `json:"public"`
	Expires time.Time  `json:"expires"` // hubs drop it then, whether or not a newer map has come
}

// A Rotation asks a node for a key of at least that generation.
type Rotation struct {
	Name       string `json:"name"`
	Generation uint64 `json:"generation"`
}

// An Announcement is what a node says of its own end: all its present keys, and
// where it may be reached.
type Announcement struct {
	Keys      []Key      `json:"keys"` // without Until, which is decided
	Site      string     `json:"site,omitempty"`
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	Hub       *Hub       `json:"hub,omitempty"`
	Host      string     `json:"host,omitempty"`
}

// Says reports whether the map has an announcement as it is.
func (n Node) Says(a Announcement) bool {
	hubs := n.Hub == nil && a.Hub == nil || n.Hub != nil && a.Hub != nil && *n.Hub == *a.Hub
	return hubs && n.Site == a.Site && n.Host == a.Host && slices.Equal(n.Endpoints, a.Endpoints) && slices.EqualFunc(n.Keys, a.Keys, func(x, y Key) bool {
		return x.Generation == y.Generation && x.Public == y.Public && x.Interface == y.Interface
	})
}

// Find returns the node of that name.
func (m Map) Find(name string) (Node, bool) {
	i, ok := slices.BinarySearchFunc(m.Nodes, name, func(n Node, name string) int { return compare(n.Name, name) })
	if !ok {
		return Node{}, false
	}
	return m.Nodes[i], true
}

// At returns the node whose overlay address a is, IPv6 or IPv4.
func (m Map) At(a netip.Addr) (Node, bool) {
	for _, n := range m.Nodes {
		if n.Address == a || n.IPv4.IsValid() && n.IPv4 == a {
			return n, true
		}
	}
	return Node{}, false
}

// Housed returns the member by whose tunnels a node is reached, which is on the same
// host. A node that has tunnels of its own is housed by nobody.
func (m Map) Housed(n Node) (by Node, ok bool) {
	if n.Host == "" || n.Hub != nil {
		return Node{}, false
	}
	by, ok = m.Find(n.Host)
	return by, ok && by.Host == ""
}

// Hubs are the nodes that forward for others, the preferred first, those that are
// draining last.
func (m Map) Hubs() (hubs []Node) {
	for _, n := range m.Nodes {
		if n.Hub != nil {
			hubs = append(hubs, n)
		}
	}
	slices.SortStableFunc(hubs, func(a, b Node) int {
		if a.Hub.Draining != b.Hub.Draining {
			if a.Hub.Draining {
				return 1
			}
			return -1
		}
		return b.Hub.Priority - a.Hub.Priority
	})
	return hubs
}

// Wanted is the generation that a node is asked for; 0 if for none.
func (m Map) Wanted(name string) uint64 {
	for _, r := range m.Rotate {
		if r.Name == name {
			return r.Generation
		}
	}
	return 0
}

// Newest is the key that a node comes to, and uses once its peers know it.
func (n Node) Newest() Key { return n.Keys[len(n.Keys)-1] }

// Good are the keys of a node that count at a time, the newest last. There is
// always one.
func (n Node) Good(now time.Time) []Key {
	first := 0
	for i, k := range n.Keys[:len(n.Keys)-1] {
		if !k.Until.IsZero() && !k.Until.After(now) {
			first = i + 1
		}
	}
	return n.Keys[first:]
}

// Static are the endpoints of a node that its operator named.
func (n Node) Static() (all []string) {
	for _, e := range n.Endpoints {
		if e.Kind == Static {
			all = append(all, e.Address)
		}
	}
	return all
}

// URI is the ID of a node, as a Node of a Map has it.
func URI(cluster string, role fleet.Role, name string) string {
	return identity.ID{Cluster: cluster, Role: role, Name: name}.String()
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
