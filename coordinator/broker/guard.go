package broker

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"primespark/shared/fleet"
	"primespark/shared/identity"
	"primespark/shared/telemetry"
)

// A guard says who may connect, publish and subscribe.
type guard struct {
	mqtt.HookBase
	cfg Config
	log *slog.Logger
}

// ID names the hook in the library's log.
func (g *guard) ID() string { return "guard" }

// Provides tells the library which of the methods count.
func (g *guard) Provides(b byte) bool {
	return b == mqtt.OnConnectAuthenticate || b == mqtt.OnACLCheck || b == mqtt.OnPublish
}

// A caller is a client as far as it is known.
type caller struct {
	node   string     // its name; empty for a reader on loopback
	role   fleet.Role // by its certificate; agent on loopback
	secure bool
}

// who tells whom a client stands for.
func (g *guard) who(cl *mqtt.Client) (caller, error) {
	if g.cfg.TLS == nil {
		name, named := strings.CutPrefix(cl.ID, g.cfg.Cluster+".")
		node, errand, _ := strings.Cut(name, ".") // of a node's second connection
		if !named || !fleet.ValidName(node) {
			return caller{}, nil
		}
		if errand == telemetry.AlertsErrand {
			return caller{node: node, role: fleet.Coordinator}, nil
		}
		return caller{node: node, role: fleet.Agent}, nil
	}
	conn, ok := cl.Net.Conn.(*tls.Conn)
	if !ok {
		return caller{}, fmt.Errorf("connection of %T", cl.Net.Conn)
	}
	state := conn.ConnectionState()
	id, err := identity.Peer(&state)
	if err != nil {
		return caller{}, err
	}
	if id.Cluster != g.cfg.Cluster {
		return caller{}, fmt.Errorf("%s is of another cluster", id)
	}
	if g.cfg.Refused != nil && g.cfg.Refused(id, identity.KeyHash(state.PeerCertificates[0])) {
		return caller{}, fmt.Errorf("%s is revoked", id)
	}
	return caller{id.Name, id.Role, true}, nil
}

func (g *guard) topics(c caller) telemetry.Topics {
	return telemetry.Topics{Prefix: g.cfg.Prefix, Cluster: g.cfg.Cluster, Node: c.node}
}

// publishes reports whether the caller may publish to a topic.
func (g *guard) publishes(c caller, topic string) bool {
	switch {
	case c.node == "":
		return !c.secure && (topic == telemetry.HomeAssistant || g.commands(topic)) // which runs on this host, then
	case g.topics(c).Publishes(topic):
		return true
	}
	// Coordinators acknowledge what they have stored.
	rest, inside := strings.CutPrefix(topic, g.cfg.Prefix+"/"+g.cfg.Cluster+"/")
	node, ack := strings.CutSuffix(rest, "/ack")
	if c.role == fleet.Coordinator && topic == g.topics(c).Alerts() {
		return true
	}
	return c.role == fleet.Coordinator && inside && ack && fleet.ValidName(node)
}

// commands reports whether a topic is one by which a Sparkplug host commands a node
// of the cluster.
func (g *guard) commands(topic string) bool {
	node := topic[strings.LastIndexByte(topic, '/')+1:]
	t := telemetry.Topics{Prefix: g.cfg.Prefix, Cluster: g.cfg.Cluster, Node: node}
	return fleet.ValidName(node) && topic == t.Sparkplug(telemetry.NCmd)
}

// reads reports whether the caller may subscribe to a filter: agents to what is
// theirs, the others to everything.
func (g *guard) reads(c caller, filter string) bool {
	return !c.secure || c.role == fleet.Coordinator || filter == telemetry.HomeAssistant || filter == g.topics(c).Sparkplug(telemetry.NCmd) || strings.HasPrefix(filter, g.topics(c).Base())
}

// OnConnectAuthenticate lets a client in.
func (g *guard) OnConnectAuthenticate(cl *mqtt.Client, pk packets.Packet) bool {
	c, err := g.who(cl)
	switch {
	case err != nil:
		g.log.Warn("mqtt client refused", "remote", cl.Net.Remote, "err", err, "remedy", "join it to this cluster")
		return false
	case c.secure && cl.ID != g.topics(c).ClientID() && !strings.HasPrefix(cl.ID, g.topics(c).ClientID()+"."):
		g.log.Warn("mqtt client refused", "remote", cl.Net.Remote, "client", cl.ID, "node", c.node,
			"remedy", "its client identifier must be "+g.topics(c).ClientID())
		return false
	case pk.Connect.WillFlag && !g.publishes(c, pk.Connect.WillTopic):
		g.log.Warn("mqtt client refused", "remote", cl.Net.Remote, "client", cl.ID, "topic", pk.Connect.WillTopic,
			"remedy", "its last will must go to a topic of its own")
		return false
	}
	return true
}

// OnACLCheck lets a message or a subscription through.
func (g *guard) OnACLCheck(cl *mqtt.Client, topic string, write bool) bool {
	c, err := g.who(cl)
	ok := err == nil && (write && g.publishes(c, topic) || !write && g.reads(c, topic))
	if !ok {
		g.log.Warn("mqtt topic refused", "client", cl.ID, "topic", topic, "write", write,
			"remedy", "a node publishes only below "+g.cfg.Prefix+"/"+g.cfg.Cluster+"/<its name>/")
	}
	return ok
}

// OnPublish keeps samples and events from being retained, which would grow with
// every name that somebody thinks of.
func (g *guard) OnPublish(_ *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	kept := func(end string) bool { return strings.HasSuffix(pk.TopicName, end) }
	if !kept("/status") && !kept("/state") && !kept("/config") {
		pk.FixedHeader.Retain = false
	}
	return pk, nil
}
