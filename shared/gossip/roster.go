package gossip

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"time"

	"primespark/shared/fleet"
)

const (
	remembered = 24 * time.Hour // that a node is gone
	rosterSize = 4096           // nodes; beyond, those that are gone are forgotten at once
	flap       = time.Minute    // dead for less than this was no death
)

// A roster is what this node knows of the fleet. It does nothing by itself:
// facts come in, a view goes out. Gossip.mu guards it.
type roster struct {
	self  string
	boot  int64 // of our own records; see hear
	seq   uint64
	said  time.Time // when our newest record was made
	nodes map[string]*node
}

// A node is one row of the roster.
type node struct {
	fleet.Node
	addr    string    // where it gossips
	contact time.Time // when it last answered a probe of ours, or joined
	left    bool      // its newest record is a farewell
	body    []byte    // its newest record as it travels
}

func newRoster(self fleet.Member, now time.Time) *roster {
	me := &node{Node: fleet.Node{Member: self, Liveness: fleet.Alive, Since: now.UTC(), LastSeen: now.UTC()}}
	return &roster{self: self.Name, boot: now.UnixNano(), nodes: map[string]*node{self.Name: me}}
}

// joined says that memberlist sees a node alive, with what it says of itself.
// It reports whether it was dead for so short that it was likely never dead.
func (r *roster) joined(m fleet.Member, addr string, now time.Time) (flapped bool) {
	if m.Name == r.self {
		return false
	}
	n := r.nodes[m.Name]
	if n == nil {
		n = &node{}
		r.nodes[m.Name] = n
	}
	flapped = n.Liveness == fleet.Dead && now.Sub(n.Since) < flap
	if n.Liveness != fleet.Alive {
		n.Liveness, n.Since = fleet.Alive, now.UTC()
	}
	n.Member, n.addr, n.contact, n.left = m, addr, now, false
	return flapped
}

// updated says that what a node says of itself has changed.
func (r *roster) updated(m fleet.Member, addr string) {
	if n := r.nodes[m.Name]; n != nil && m.Name != r.self {
		n.Member, n.addr = m, addr
	}
}

// gone says that memberlist sees a node dead or left, which it does not tell
// apart for us, but the node's farewell does.
func (r *roster) gone(name string, now time.Time) fleet.Liveness {
	n := r.nodes[name]
	if n == nil || name == r.self {
		return ""
	}
	n.Liveness, n.Since = fleet.Dead, now.UTC()
	if n.left {
		n.Liveness = fleet.Left
	}
	return n.Liveness
}

// answered says that a node answered a probe of ours. It reports whether that
// changes the view.
func (r *roster) answered(name string, now time.Time) bool {
	n := r.nodes[name]
	if n == nil {
		return false
	}
	n.contact = now
	if n.Liveness != fleet.LinkDown {
		return false
	}
	n.Liveness, n.Since = fleet.Alive, now.UTC()
	return true
}

// A verdict says what became of a record; it labels the metric.
type verdict string

const (
	fresh   verdict = "new"
	stale   verdict = "stale"   // not newer than what is known
	unknown verdict = "unknown" // of a node that is no member
	broken  verdict = "broken"
	own     verdict = "own" // our own, of an earlier life
)

// hear takes a record in, and reports what it is worth.
//
// A record of our own that is newer than we are is from before a restart, with
// a clock that ran ahead: a Pi without a battery for its clock may come up in
// the past. Our records would never win, so we go on from that one's boot.
//
// body is the record as it travels, of which a copy is kept.
func (r *roster) hear(rec record, body []byte, now time.Time) verdict {
	n := r.nodes[rec.Node]
	switch {
	case n == nil:
		return unknown
	case n.body != nil && !rec.Newer(n.Vital):
		return stale
	case rec.Node == r.self && rec.Boot >= r.boot && (rec.Boot > r.boot || rec.Seq > r.seq):
		r.boot = min(rec.Boot+1, fleet.LatestBoot-1)
		return own
	}
	n.Vital, n.left, n.LastSeen, n.body = rec.Vital, rec.Left, now.UTC(), slices.Clone(body)
	if n.left && n.Liveness == fleet.Dead {
		n.Liveness = fleet.Left
	}
	return fresh
}

// repeats reports whether body is a node's newest record, byte for byte: gossip says
// everything several times, and to read it costs more than to compare.
func (r *roster) repeats(body []byte) bool {
	for _, n := range r.nodes {
		if bytes.Equal(body, n.body) && len(body) > 0 {
			return true
		}
	}
	return false
}

// news reports whether v is worth to be announced: it says something new, or
// the last record is old.
func (r *roster) news(v fleet.Vital, now time.Time) bool {
	old := r.nodes[r.self].Vital
	v.Node, v.Boot, v.Seq, v.At = old.Node, old.Boot, old.Seq, old.At
	return r.seq == 0 || now.Sub(r.said) >= signOfLife || old.Boot != r.boot || !reflect.DeepEqual(v, old)
}

// sign makes rec our next record.
func (r *roster) sign(rec record, now time.Time) record {
	r.seq++
	rec.Node, rec.Boot, rec.Seq, rec.At = r.self, r.boot, r.seq, now.UTC()
	r.said = now
	return rec
}

// review looks for links that went quiet, and forgets who is long gone. It
// reports whether that changes the view.
func (r *roster) review(now time.Time, quiet time.Duration) (changed bool) {
	for name, n := range r.nodes {
		lost := n.Liveness == fleet.Dead || n.Liveness == fleet.Left
		switch {
		case name == r.self:
		case lost && (now.Sub(n.Since) > remembered || len(r.nodes) > rosterSize):
			delete(r.nodes, name)
			changed = true
		case n.Liveness == fleet.Alive && now.Sub(n.contact) > quiet:
			n.Liveness, n.Since = fleet.LinkDown, now.UTC()
			changed = true
		}
	}
	return changed
}

// bodies returns the newest record of every node that is there.
func (r *roster) bodies() [][]byte {
	var all [][]byte
	for _, n := range r.nodes {
		if n.body != nil && n.Liveness != fleet.Dead {
			all = append(all, n.body)
		}
	}
	return all
}

// lost returns the addresses of nodes that died, for the joiner.
func (r *roster) lost() (addrs []string) {
	for _, n := range r.nodes {
		if n.Liveness == fleet.Dead {
			addrs = append(addrs, n.addr)
		}
	}
	return addrs
}

// present reports whether a node that is there gossips at addr.
func (r *roster) present(addr string) bool {
	for _, n := range r.nodes {
		if n.addr == addr && (n.Liveness == fleet.Alive || n.Liveness == fleet.LinkDown) {
			return true
		}
	}
	return false
}

// alone reports whether no other node is there.
func (r *roster) alone() bool {
	for name, n := range r.nodes {
		if name != r.self && (n.Liveness == fleet.Alive || n.Liveness == fleet.LinkDown) {
			return false
		}
	}
	return true
}

// view returns all nodes by name.
func (r *roster) view() fleet.View {
	v := make(fleet.View, 0, len(r.nodes))
	for _, n := range r.nodes {
		v = append(v, n.Node)
	}
	slices.SortFunc(v, func(a, b fleet.Node) int { return strings.Compare(a.Name, b.Name) })
	return v
}
