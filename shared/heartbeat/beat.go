// Package heartbeat is how a node shows the coordinators that it lives: a
// stream of small beats on a connection of its own, over mutual TLS, to each of
// them.
//
// What gossip carries can be said in any node's name by whoever has the gossip
// key. A beat cannot: it comes with the certificate of the node that it is of. So
// it also carries what a coordinator routes by, when that changes: how the node
// fares and where it is reached. The end of its process is seen at once, by the
// end of the connection; a cut cable or a frozen process by silence.
//
// In a fleet of up to 32 a node beats each 400 ms: 150 packets a minute to each
// coordinator, of some 75 bytes with all headers, and as many acknowledgements
// of 52; with the coordinator's answers 25 KB a minute. Nothing of it is
// written to a disk.
package heartbeat

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/mesh"
)

// Path is where a coordinator's API takes the beats, by a POST that does not end.
const Path = "/v1/heartbeat"

// A Beat is one sign of life, a line of JSON. An empty one, which most are, is an
// empty line: it says that nothing has changed since the last one.
type Beat struct {
	Member *fleet.Member `json:"member,omitempty"`
	Vital  *fleet.Vital  `json:"vital,omitempty"`
	// Hears are the nodes whose beats this coordinator hears; coordinators only.
	Hears *Names `json:"hears,omitempty"`
	// Keys are the generations of the gossip key that the node holds.
	Keys *Keys `json:"keys,omitempty"`
	// Mesh is what the node sees of the mesh; nil without one.
	Mesh *mesh.Report `json:"mesh,omitempty"`
	// LateMS is by how much the node's own timers are late, if that is much: it
	// has little processor, and is given more time.
	LateMS int64 `json:"late_ms,omitempty"`
	Bye    bool  `json:"bye,omitempty"` // the node leaves on purpose
}

// Names are names of nodes, sorted.
type Names []string

// Keys are generations of the gossip key.
type Keys struct {
	Primary uint64   `json:"primary"` // the node encrypts with it
	Held    []uint64 `json:"held"`    // and understands these
}

// Bounds of a beat.
const (
	maxLine  = 64 << 10
	maxNames = 1024
	maxHeld  = 16
	maxLate  = time.Minute
)

// ErrInvalid is the kind of an error that lies in what a node said.
var ErrInvalid = errors.New("not a valid beat")

// Check reports what is wrong with a beat of the node who.
func (b Beat) Check(who identity.ID) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrInvalid, what) }
	if m := b.Member; m != nil {
		if m.Name != who.Name || m.Role != who.Role || len(m.Version) > 64 ||
			(identity.Addresses{API: m.API, Raft: m.Raft}).Check() != nil {
			return bad("its member is not the one whose certificate it came with")
		}
	}
	if v := b.Vital; v != nil && (v.Node != who.Name || !v.Plausible()) {
		return bad("its vital is of another node, or cannot be calculated with")
	}
	if h := b.Hears; h != nil && (who.Role != fleet.Coordinator || len(*h) > maxNames || slices.ContainsFunc(*h, func(n string) bool { return !fleet.ValidName(n) })) {
		return bad("it tells whom it hears, and may not, or too many")
	}
	if k := b.Keys; k != nil && len(k.Held) > maxHeld {
		return bad("it holds too many keys")
	}
	if b.Mesh != nil {
		if err := b.Mesh.Check(); err != nil {
			return bad(err.Error())
		}
		if who.Role != fleet.Coordinator && len(b.Mesh.Sightings) > 0 {
			return bad("it tells where the others' packets come from, and is no hub")
		}
	}
	if b.LateMS < 0 || b.LateMS > maxLate.Milliseconds() {
		return bad("its lateness is out of bounds")
	}
	return nil
}

// A Reader reads beats.
type Reader struct{ lines *bufio.Scanner }

// NewReader reads beats from r.
func NewReader(r io.Reader) Reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 256), maxLine)
	return Reader{s}
}

// Read returns the next beat of a node; io.EOF after the last.
func (r Reader) Read(who identity.ID) (Beat, error) {
	var b Beat
	if !r.lines.Scan() {
		if err := r.lines.Err(); err != nil {
			return b, err
		}
		return b, io.EOF
	}
	line := r.lines.Bytes()
	if len(line) == 0 {
		return b, nil
	}
	if err := json.Unmarshal(line, &b); err != nil {
		return Beat{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return b, b.Check(who)
}

// encode returns the line of a beat.
func (b Beat) encode() ([]byte, error) {
	line, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("encode beat: %w", err)
	}
	if string(line) == "{}" {
		line = line[:0]
	}
	if len(line) >= maxLine {
		return nil, fmt.Errorf("a beat of %d bytes is larger than %d; have fewer models resident", len(line), maxLine-1)
	}
	return append(line, '\n'), nil
}

// A Pace is what a coordinator answers, a line of JSON: how often the node shall beat.
// It comes first, whenever it changes, and each AnswerEvery as a sign of life.
type Pace struct {
	EveryMS int64 `json:"every_ms"`
}

// Bounds of the pace that a node takes from a coordinator.
const (
	fastest = 100 * time.Millisecond
	slowest = 10 * time.Second
)

// PaceFor is how often the nodes of a fleet of that size shall beat, so that the
// beats cost a coordinator no more than some hundred packets a second.
func PaceFor(nodes int) time.Duration {
	switch {
	case nodes <= 32:
		return 400 * time.Millisecond
	case nodes <= 256:
		return time.Second
	}
	return 2 * time.Second
}

// Every is the pace as a duration within the bounds.
func (p Pace) Every() time.Duration {
	return min(max(time.Duration(p.EveryMS)*time.Millisecond, fastest), slowest)
}
