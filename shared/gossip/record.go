package gossip

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/memberlist"

	"primespark/shared/fleet"
)

const (
	recordSize = 16 << 10 // bytes; a larger record is refused
	packetRoom = 1100     // bytes of a packet that are free for a record, whatever the label's length

	// version is the first byte of a message. Another one is dropped, so that a
	// fleet can be upgraded node by node.
	version = 1
)

// A record is what travels: how a node fares, or that it left.
type record struct {
	fleet.Vital
	Left bool `json:"left,omitempty"`
}

// encode returns the message of r.
func (r record) encode() ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode vital: %w", err)
	}
	if len(body) >= recordSize {
		return nil, fmt.Errorf("vital of %d bytes: more than %d cannot be gossiped; have fewer models resident", len(body), recordSize-1)
	}
	return append([]byte{version}, body...), nil
}

var errBroken = errors.New("broken record")

// decode reads a message from the network. It keeps nothing of b.
func decode(b []byte) (record, error) {
	var r record
	if len(b) == 0 || len(b) > recordSize || b[0] != version {
		return r, errBroken
	}
	if err := json.Unmarshal(b[1:], &r); err != nil {
		return r, errBroken
	}
	if !r.Plausible() {
		return record{}, errBroken
	}
	return r, nil
}

// pack joins messages to the state that push and pull exchange.
func pack(messages [][]byte) []byte {
	var out []byte
	for _, m := range messages {
		out = binary.AppendUvarint(out, uint64(len(m)))
		out = append(out, m...)
	}
	return out
}

// unpack calls each for the messages of a state, up to the first that is broken
// off, and reports whether it was whole. memberlist bounds a state to 20 MiB.
func unpack(state []byte, each func([]byte)) bool {
	for len(state) > 0 {
		size, n := binary.Uvarint(state)
		if n <= 0 || size > recordSize || size > uint64(len(state)-n) {
			return false
		}
		each(state[n : n+int(size)])
		state = state[n+int(size):]
	}
	return true
}

// A broadcast is a record in memberlist's queue. A newer one of the same node
// takes its place.
type broadcast struct {
	node string
	body []byte
}

// Invalidates is asked of broadcasts without a name.
func (b *broadcast) Invalidates(memberlist.Broadcast) bool { return false }

// Name makes it memberlist.NamedBroadcast.
func (b *broadcast) Name() string { return b.node }

// Message is what is sent.
func (b *broadcast) Message() []byte { return b.body }

// Finished is called when it has been sent often enough.
func (b *broadcast) Finished() {}

var _ memberlist.NamedBroadcast = (*broadcast)(nil)
