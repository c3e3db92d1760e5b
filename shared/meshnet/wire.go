package meshnet

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/mesh"
)

// Socket is where the helper listens.
const Socket = "/run/prime-spark-mesh/mesh.sock"

// MaxMembers is how many members of the mesh there may be on one host: its agent and
// its coordinator.
const MaxMembers = 2

// maxFrame is the length of a message between a daemon and the helper in bytes: a
// map of as many nodes and clients as there may be, and what is seen of them.
const maxFrame = 8 << 20

// Wanted is all that a daemon tells the helper. The helper keeps the last one and
// goes on by it while no daemon calls.
type Wanted struct {
	Self string    `json:"self"` // this node's name in the map
	Map  mesh.Map  `json:"map"`
	Ring mesh.Ring `json:"ring"` // this node's private keys, which go from one process of a host to another one
	// Sightings is where hubs saw packets of this node and of others come from.
	Sightings []mesh.Sighting `json:"sightings,omitempty"`
	// Ports of this host's daemons that members may connect to.
	Ports Ports `json:"ports"`
	// Listen is the UDP port that other members reach this one at; 0 is mesh.Port.
	Listen uint16 `json:"listen,omitempty"`
	// Quiet: the neighbours in this host's networks are not told where it listens.
	Quiet bool `json:"quiet,omitempty"`
	// Leave: Self takes no part any more. Nothing of the mesh stays on the host.
	Leave bool `json:"leave,omitempty"`
}

// Ports are TCP ports, and those of gossip UDP as well; 0: nothing listens.
type Ports struct {
	API    uint16 `json:"api,omitempty"`    // of a coordinator or an agent: everybody
	Raft   uint16 `json:"raft,omitempty"`   // coordinators
	Gossip uint16 `json:"gossip,omitempty"` // nodes
	Broker uint16 `json:"broker,omitempty"` // nodes
}

// Facts are all that the helper tells.
type Facts struct {
	Self       string      `json:"self,omitempty"`     // whose place in the mesh this host has; empty: nobody's
	Host       string      `json:"host,omitempty"`     // the member of this host whose tunnels Self uses; empty: it has its own
	Guests     []string    `json:"guests,omitempty"`   // the others of this host, which use the tunnels of Self
	Forwards   bool        `json:"forwards,omitempty"` // Self is a hub
	Report     mesh.Report `json:"report"`
	Generation uint64      `json:"generation"` // of the oldest key that a tunnel of this node uses; 0: there are no tunnels
	At         time.Time   `json:"at"`
}

// For are the facts as a guest of Self hears them; anybody else hears them as they
// are. A guest has no tunnels: its way is that of the member whose place it shares.
func (f Facts) For(guest string) Facts {
	if !slices.Contains(f.Guests, guest) {
		return f
	}
	r := f.Report
	r.Sightings, r.Links = nil, []mesh.Link{{Peer: f.Self, Up: true, MTU: r.MTU}}
	if f.Forwards {
		r.Hub = f.Self
	} else {
		r.Links = append(r.Links, f.Report.Links[:min(len(f.Report.Links), mesh.MaxLinks-1)]...)
	}
	return Facts{Self: guest, Host: f.Self, Report: r, At: f.At}
}

// A Frame is one line of the conversation. The daemon sends Wanted, the helper sends
// Facts.
type Frame struct {
	Wanted *Wanted `json:"wanted,omitempty"`
	Facts  *Facts  `json:"facts,omitempty"`
}

// Check reports what is wrong with a wish. What passes is safe to act on.
func (w Wanted) Check() error {
	if err := w.CheckMap(); err != nil || w.Leave || w.empty() {
		return err
	}
	return w.Ring.Check()
}

// empty reports whether nothing is known yet, or this node is out of the mesh.
func (w Wanted) empty() bool { return w.Map.Version == 0 && len(w.Map.Nodes) == 0 }

// CheckMap is Check of a wish that came without the private keys.
func (w Wanted) CheckMap() error {
	if !fleet.ValidName(w.Self) {
		return fmt.Errorf("this node's name is %.40q", w.Self)
	}
	if len(w.Sightings) > 2*mesh.MaxNodes {
		return fmt.Errorf("%d sightings are more than %d", len(w.Sightings), 2*mesh.MaxNodes)
	}
	for _, s := range w.Sightings {
		if err := s.Check(); err != nil {
			return err
		}
	}
	if w.Leave || w.empty() {
		return nil
	}
	return w.Map.Check()
}

// Check reports what is wrong with facts.
func (f Facts) Check() error {
	if f.Self != "" && !fleet.ValidName(f.Self) {
		return fmt.Errorf("the place is that of %.40q", f.Self)
	}
	if len(f.Guests) > MaxMembers {
		return fmt.Errorf("%d guests are more than %d", len(f.Guests), MaxMembers)
	}
	for _, name := range append([]string{f.Host}, f.Guests...) {
		if name != "" && !fleet.ValidName(name) {
			return fmt.Errorf("the place is shared with %.40q", name)
		}
	}
	return f.Report.Check()
}

// Write sends one frame.
func Write(w io.Writer, f Frame) error {
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode a message of the mesh: %w", err)
	}
	if len(b) >= maxFrame {
		return fmt.Errorf("a message of the mesh of %d bytes is longer than %d", len(b), maxFrame)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// A Reader reads frames.
type Reader struct{ lines *bufio.Reader }

// NewReader reads from r.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 4096)} }

// Read returns the next frame, whose content was checked; io.EOF after the last one.
func (r *Reader) Read() (f Frame, err error) {
	var line []byte
	for {
		part, err := r.lines.ReadSlice('\n')
		if line = append(line, part...); len(line) > maxFrame {
			return f, fmt.Errorf("a message of the mesh is longer than %d bytes", maxFrame)
		}
		if err == nil {
			break
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if errors.Is(err, io.EOF) && len(line) > 0 {
			return f, io.ErrUnexpectedEOF
		}
		return f, err
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return Frame{}, fmt.Errorf("a message of the mesh is not the JSON that is wanted: %w", err)
	}
	if f.Wanted != nil {
		if err := f.Wanted.Check(); err != nil {
			return Frame{}, fmt.Errorf("what is wanted of the mesh: %w", err)
		}
	}
	if f.Facts != nil {
		if err := f.Facts.Check(); err != nil {
			return Frame{}, fmt.Errorf("the facts of the mesh: %w", err)
		}
	}
	return f, nil
}
