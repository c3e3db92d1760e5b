package mesh

import (
	"errors"
	"fmt"
	"net/netip"

	"primespark/shared/fleet"
)

// A Report is what a node sees of the mesh from where it is. It goes along with its
// beats to every coordinator, and is kept in memory only.
type Report struct {
	Version   uint64     `json:"version"`             // of the map in force
	Hub       string     `json:"hub,omitempty"`       // that its packets go through now, if it is no hub
	MTU       int        `json:"mtu,omitempty"`       // of its interfaces, bytes
	Links     []Link     `json:"links,omitempty"`     // to whom it probes or talks, by peer
	Sightings []Sighting `json:"sightings,omitempty"` // of a hub: where the others' packets come from; the newest
	Facts     Facts      `json:"facts,omitzero"`
}

// A Link is how a node reaches another one.
type Link struct {
	Peer      string  `json:"peer"`
	Via       string  `json:"via,omitempty"`           // the hub in between; empty: direct
	Up        bool    `json:"up"`                      // probes are answered
	Handshake float64 `json:"handshake_age,omitempty"` // of the tunnel that it goes through, s; 0: none yet
	RTT       float64 `json:"rtt_ms,omitempty"`        // of the probes, smoothed
	Loss      float64 `json:"loss,omitempty"`          // 0 to 1, of the last probes
	MTU       int     `json:"mtu,omitempty"`           // bytes
	Endpoint  string  `json:"endpoint,omitempty"`      // that the packets go to
}

// A Sighting is where a hub sees a node's packets come from. Two hubs that see
// different ports mean a NAT that no direct path goes through.
type Sighting struct {
	Node     string `json:"node"`
	Endpoint string `json:"endpoint"` // ip:port
}

// A Hint is a sighting, and whose. It is nobody's decision: whoever tries it finds
// out by the handshake.
type Hint struct {
	Sighting
	Hub string `json:"hub"`
}

// Facts are what keeps a node from the mesh, or from direct paths, as far as it
// has found out. They are what the doctor explains.
type Facts struct {
	Backend Backend  `json:"backend,omitempty"`
	NAT     NAT      `json:"nat,omitempty"`
	Blocked []string `json:"blocked,omitempty"` // hubs that do not answer by UDP, while another one does
	Clash   string   `json:"clash,omitempty"`   // the words of Map.Clash
	Fault   string   `json:"fault,omitempty"`   // why there is no interface at all
}

// A Backend is what runs WireGuard.
type Backend string

// The backends.
const (
	Kernel    Backend = "kernel"
	Userspace Backend = "userspace" // the program's own: works everywhere, and takes more memory
)

// A NAT is what stands between a node and the Internet.
type NAT string

// The kinds of NAT.
const (
	NATUnknown NAT = ""     // nobody has seen its packets yet
	NATNone    NAT = "none" // hubs see its own address
	NATEasy    NAT = "easy" // all hubs see the same address and port: direct paths work
	NATHard    NAT = "hard" // each hub sees another port (endpoint-dependent): they do not
)

// Bounds of a report from another node.
const (
	MaxLinks     = 200 // a report goes along with a beat, which has 64 KiB
	MaxSightings = 400
	maxBlocked   = MaxHubs
	maxText      = 512
)

// Bounded is what of a report others believe: of links and sightings that are more
// than a report has, the first. One that is strange all the same, as by a clock that
// jumped, is replaced by a word about it: it goes along with the node's beats, which
// must not be refused for it.
func (r Report) Bounded() Report {
	r.Links, r.Sightings = r.Links[:min(len(r.Links), MaxLinks)], r.Sightings[:min(len(r.Sightings), MaxSightings)]
	if err := r.Check(); err != nil {
		return Report{Version: r.Version, Facts: Facts{Fault: "the report of this node is not fit to be told"}}
	}
	return r
}

// Check reports why a report from another node is not believed.
func (r Report) Check() error {
	switch {
	case len(r.Links) > MaxLinks || len(r.Sightings) > MaxSightings || len(r.Facts.Blocked) > maxBlocked:
		return errors.New("a report of the mesh has more links than it may")
	case r.Hub != "" && !fleet.ValidName(r.Hub):
		return fmt.Errorf("a report of the mesh names the hub %.40q", r.Hub)
	case len(r.Facts.Clash) > maxText || len(r.Facts.Fault) > maxText || len(r.Facts.NAT) > 16 || len(r.Facts.Backend) > 16:
		return errors.New("a report of the mesh has a text that is too long")
	}
	for _, l := range r.Links {
		if !fleet.ValidName(l.Peer) || l.Via != "" && !fleet.ValidName(l.Via) || len(l.Endpoint) > maxEndpoint ||
			!(l.Handshake >= 0) || !(l.RTT >= 0) || !(l.Loss >= 0 && l.Loss <= 1) || l.MTU < 0 {
			return fmt.Errorf("a report of the mesh has a strange link to %.40q", l.Peer)
		}
	}
	for _, s := range r.Sightings {
		if err := s.Check(); err != nil {
			return err
		}
	}
	for _, b := range r.Facts.Blocked {
		if !fleet.ValidName(b) {
			return fmt.Errorf("a report of the mesh names the hub %.40q", b)
		}
	}
	return nil
}

// Check reports why a sighting is not believed.
func (s Sighting) Check() error {
	if _, err := netip.ParseAddrPort(s.Endpoint); err != nil || !fleet.ValidName(s.Node) {
		return fmt.Errorf("a report of the mesh has a strange sighting of %.40q", s.Node)
	}
	return nil
}
