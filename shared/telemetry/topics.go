package telemetry

import (
	"fmt"
	"strings"
	"time"

	"primespark/shared/fleet"
)

// Newest is the newest sample of each stream of a node. One that is shared is
// never changed.
type Newest map[Stream]Sample

// An Event is something that happened to a node, for people and automations.
type Event struct {
	Seq      uint64    `json:"seq"` // from 1 within the life of the process
	At       time.Time `json:"at"`
	Code     string    `json:"code"`
	Severity string    `json:"severity"`
	Detail   string    `json:"detail"`
}

// Topics names the MQTT topics of one node.
type Topics struct{ Prefix, Cluster, Node string }

// Check refuses names that would reach outside of the node's own topics.
func (t Topics) Check() error {
	if t.Prefix == "" || len(t.Prefix) > 64 || strings.ContainsAny(t.Prefix, "+#/$\x00") {
		return fmt.Errorf("mqtt prefix %q: no single level of a topic; give one as in primespark", t.Prefix)
	}
	if !fleet.ValidName(t.Cluster) || !fleet.ValidName(t.Node) {
		return fmt.Errorf("mqtt topics of node %q in cluster %q: no valid names", t.Node, t.Cluster)
	}
	return nil
}

// Base is what all topics of the node begin with, the last slash included.
func (t Topics) Base() string { return t.Prefix + "/" + t.Cluster + "/" + t.Node + "/" }

// Status is the topic that says online or offline.
func (t Topics) Status() string { return t.Base() + "status" }

// State is the topic of the newest values.
func (t Topics) State() string { return t.Base() + "state" }

// Samples is the topic of a stream.
func (t Topics) Samples(s Stream) string { return t.Base() + "t/" + string(s) }

// Events is the topic of events.
func (t Topics) Events() string { return t.Base() + "event" }

// Discovery is the topic by which Home Assistant learns of the node. Another
// cluster's node of that name at the same broker would have the same one.
func (t Topics) Discovery() string { return "homeassistant/device/" + t.Node + "/config" }

// Alerts is the topic on which the coordinators tell what is wrong with the
// cluster.
func (t Topics) Alerts() string { return t.Prefix + "/" + t.Cluster + "/alert" }

// A SparkplugMessage is a kind of message of Sparkplug B.
type SparkplugMessage string

// The messages of an edge node without devices, and the commands to it.
const (
	NBirth SparkplugMessage = "NBIRTH"
	NData  SparkplugMessage = "NDATA"
	NDeath SparkplugMessage = "NDEATH"
	NCmd   SparkplugMessage = "NCMD"
)

// Sparkplug is the topic of a message of Sparkplug B. The cluster is the group, and
// the prefix is the specification's.
func (t Topics) Sparkplug(m SparkplugMessage) string {
	return "spBv1.0/" + t.Cluster + "/" + string(m) + "/" + t.Node
}

// HomeAssistant is where Home Assistant says "online" when it has started.
const HomeAssistant = "homeassistant/status"

// ClientID is the node's MQTT client identifier. A broker knows only one of a
// name, so the cluster is in it.
func (t Topics) ClientID() string { return t.Cluster + "." + t.Node }

// The errands for which a node has a second connection, each with an identifier of
// its own.
const (
	AlertsErrand    = "alerts" // of coordinators only
	SparkplugErrand = "sparkplug"
)

// Errand is the client identifier of a second connection.
func (t Topics) Errand(name string) string { return t.ClientID() + "." + name }

// Publishes reports whether topic is one that the node itself publishes.
func (t Topics) Publishes(topic string) bool {
	switch topic {
	case t.Discovery(), t.Sparkplug(NBirth), t.Sparkplug(NData), t.Sparkplug(NDeath):
		return true
	}
	rest, own := strings.CutPrefix(topic, t.Base())
	if !own {
		return false
	}
	stream, samples := strings.CutPrefix(rest, "t/")
	return samples && Stream(stream).Valid() || rest == "status" || rest == "state" || rest == "event"
}
