package gossip

import (
	"encoding/json"
	"errors"
	"net/netip"
	"time"

	"github.com/hashicorp/memberlist"

	"primespark/shared/fleet"
)

// A delegate answers memberlist's questions and hears its news. memberlist
// calls it under locks of its own, so it never calls back.
type delegate struct {
	gossip *Gossip
	meta   []byte
}

var (
	_ memberlist.Delegate         = (*delegate)(nil)
	_ memberlist.EventDelegate    = (*delegate)(nil)
	_ memberlist.AliveDelegate    = (*delegate)(nil)
	_ memberlist.ConflictDelegate = (*delegate)(nil)
	_ memberlist.PingDelegate     = (*delegate)(nil)
)

// NodeMeta is what this node says of itself that seldom changes.
func (d *delegate) NodeMeta(int) []byte { return d.meta }

// NotifyMsg takes one record from the network.
func (d *delegate) NotifyMsg(b []byte) {
	g := d.gossip
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.take(b) == fresh {
		g.changed()
	}
}

// take decodes one message and hears it. It wants mu held.
func (g *Gossip) take(b []byte) verdict {
	v := broken
	if g.roster.repeats(b) {
		v = stale
	} else if r, err := decode(b); err == nil {
		switch v = g.roster.hear(r, b, time.Now()); v {
		case fresh:
			g.send(r.Node) // passed on
		case own:
			g.restate()
		}
	}
	g.metrics.records.WithLabelValues(string(v)).Inc()
	return v
}

// GetBroadcasts gives the records that fit into a packet.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.gossip.records.GetBroadcasts(overhead, limit)
}

// LocalState is all that this node knows, for a push and pull.
func (d *delegate) LocalState(bool) []byte {
	d.gossip.mu.Lock()
	defer d.gossip.mu.Unlock()
	return pack(d.gossip.roster.bodies())
}

// MergeRemoteState takes what another one knows.
func (d *delegate) MergeRemoteState(state []byte, _ bool) {
	g := d.gossip
	g.mu.Lock()
	defer g.mu.Unlock()
	news := false
	whole := unpack(state, func(b []byte) { news = g.take(b) == fresh || news })
	if !whole {
		g.metrics.records.WithLabelValues(string(broken)).Inc()
	}
	if news {
		g.changed()
	}
}

// NotifyAlive refuses nodes that do not say who they are, and those that are more
// than a fleet has.
func (d *delegate) NotifyAlive(peer *memberlist.Node) error {
	m, err := member(peer)
	if err != nil {
		return err
	}
	if admit := d.gossip.admit; admit != nil && m.Name != d.gossip.roster.self {
		at, _ := netip.AddrFromSlice(peer.Addr)
		if err := admit(m, at.Unmap()); err != nil {
			d.gossip.metrics.refused.Inc()
			return err
		}
	}
	d.gossip.mu.Lock()
	defer d.gossip.mu.Unlock()
	if nodes := d.gossip.roster.nodes; nodes[m.Name] == nil && len(nodes) >= rosterSize {
		return errCrowd
	}
	return nil
}

var errCrowd = errors.New("there are too many nodes")

var errStranger = errors.New("its meta does not name it as a node")

// member reads what a node says of itself.
func member(n *memberlist.Node) (fleet.Member, error) {
	var m fleet.Member
	if len(n.Meta) > metaSize {
		return m, errStranger
	}
	if err := json.Unmarshal(n.Meta, &m); err != nil {
		return m, errStranger
	}
	if m.Name != n.Name || !fleet.ValidName(m.Name) || !m.Role.Valid() {
		return m, errStranger
	}
	return m, nil
}

// NotifyJoin says that a node is there, or there again.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	m, err := member(n)
	if err != nil {
		return // NotifyAlive has refused it already
	}
	g := d.gossip
	if m.Name == g.roster.self {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.roster.joined(m, n.Address(), time.Now()) {
		g.metrics.flaps.Inc()
	}
	g.changed()
	g.log.Info("node alive", "node", m.Name, "role", m.Role, "addr", n.Address())
}

// NotifyUpdate says that what a node says of itself has changed.
func (d *delegate) NotifyUpdate(n *memberlist.Node) {
	m, err := member(n)
	if err != nil {
		return // NotifyAlive has refused it already
	}
	g := d.gossip
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roster.updated(m, n.Address())
	g.changed()
}

// NotifyLeave says that a node is dead, or left.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	g := d.gossip
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.roster.gone(n.Name, time.Now()) {
	case fleet.Left:
		g.log.Info("node left", "node", n.Name)
	case fleet.Dead:
		g.metrics.deaths.Inc()
		g.log.Warn("node dead", "node", n.Name, "addr", n.Address(), "next", "it is joined again when it answers")
	default:
		return
	}
	g.changed()
}

// NotifyConflict says that two nodes have one name.
func (d *delegate) NotifyConflict(existing, other *memberlist.Node) {
	d.gossip.log.Warn("two nodes have the same name", "node", existing.Name, "known_at", existing.Address(),
		"also_at", other.Address(), "remedy", "give one of them another name; after a move it ends by itself")
}

// AckPayload is empty: a probe's answer says enough by coming.
func (d *delegate) AckPayload() []byte { return nil }

// NotifyPingComplete says that a node answered a probe of ours directly.
func (d *delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, _ []byte) {
	g := d.gossip
	g.metrics.rtt.Observe(rtt.Seconds())
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.roster.answered(n.Name, time.Now()) {
		g.changed()
		g.log.Info("link up again", "node", n.Name)
	}
}
