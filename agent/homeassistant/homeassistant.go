// Package homeassistant describes a node to Home Assistant: one message of its
// MQTT device discovery, from what the node knows of itself, and the part of the
// state message that its templates read.
//
// All of it is pure: the uplink sends what is made here. Names and forms are those
// of Home Assistant's documentation of the MQTT integration ("Discovery of
// devices", "Sensor", "Binary sensor", "Update", "Birth and last will").
package homeassistant

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"primespark/shared/telemetry"
)

// Birth is what Home Assistant says, at telemetry.HomeAssistant, when it has
// started.
const Birth = "online"

// A Node is what discovery tells of a node.
type Node struct {
	Topics   telemetry.Topics
	Version  string        // of the agent
	Board    string        // "Raspberry Pi 5 Model B Rev 1.0"; may be empty
	Serial   string        // of the board; may be empty
	Every    time.Duration // between two samples of a stream: after three without one an entity is unknown
	Streams  telemetry.Newest
	Models   []string // those that Self tells of
	Endpoint string   // of the node's page; may be empty
}

// The message. Abbreviated keys are those of the documentation's list.
type config struct {
	Device       device               `json:"dev"`
	Origin       origin               `json:"o"`
	Components   map[string]component `json:"cmps"`
	StateTopic   string               `json:"state_topic"`
	Availability []availability       `json:"availability"`
	Mode         string               `json:"availability_mode"`
	QoS          int                  `json:"qos"`
}

type device struct {
	IDs          []string `json:"ids"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"mf"`
	Model        string   `json:"mdl,omitempty"`
	Software     string   `json:"sw,omitempty"`
	Serial       string   `json:"sn,omitempty"`
	Page         string   `json:"cu,omitempty"`
}

type origin struct {
	Name     string `json:"name"`
	Software string `json:"sw,omitempty"`
}

type availability struct {
	Topic     string `json:"topic"`
	Available string `json:"payload_available"`
	Gone      string `json:"payload_not_available"`
}

// A component is one entity. Of one that is gone only the platform is told.
type component struct {
	Platform     string `json:"p"`
	ID           string `json:"unique_id,omitempty"`
	Object       string `json:"default_entity_id,omitempty"`
	Name         string `json:"name,omitempty"`
	Class        string `json:"device_class,omitempty"`
	StateClass   string `json:"state_class,omitempty"`
	Unit         string `json:"unit_of_measurement,omitempty"`
	Precision    *int   `json:"suggested_display_precision,omitempty"`
	Category     string `json:"entity_category,omitempty"`
	Icon         string `json:"icon,omitempty"`
	Template     string `json:"value_template,omitempty"`
	On           string `json:"payload_on,omitempty"`
	Off          string `json:"payload_off,omitempty"`
	ExpireAfter  int    `json:"expire_after,omitempty"` // seconds
	AttributesIn string `json:"json_attributes_topic,omitempty"`
	AttributesBy string `json:"json_attributes_template,omitempty"`
	Title        string `json:"title,omitempty"`
}

// Config returns the discovery message of a node. Entities of before, by their
// names as Entities tells them, that the node does not have any more are taken
// away by it.
func Config(n Node, before map[string]string) ([]byte, error) {
	c := config{
		Device: device{
			IDs: []string{n.base()}, Name: n.Topics.Node, Manufacturer: "Prime Spark",
			Model: n.Board, Software: n.Version, Serial: n.Serial, Page: n.Endpoint,
		},
		Origin:     origin{"Prime Spark", n.Version},
		Components: n.components(),
		StateTopic: n.Topics.State(),
		// The node's own word and its last will. The cluster's is left out on purpose: a
		// node that serves by itself is not gone.
		Availability: []availability{{n.Topics.Status(), "online", "offline"}},
		Mode:         "all",
		QoS:          1,
	}
	for name, platform := range before {
		if _, has := c.Components[name]; !has {
			c.Components[name] = component{Platform: platform}
		}
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode the discovery of Home Assistant: %w", err)
	}
	return b, nil
}

// Entities returns the platform of each entity of a node, by name.
func Entities(n Node) map[string]string {
	all := map[string]string{}
	for name, c := range n.components() {
		all[name] = c.Platform
	}
	return all
}

// base begins what has to be unique in the whole of a Home Assistant.
func (n Node) base() string { return "primespark_" + n.Topics.Cluster + "_" + n.Topics.Node }

// expire is three intervals in seconds, and not less than half a minute: state is
// sent each 5 s.
func (n Node) expire() int { return int(max(30*time.Second, 3*n.Every).Seconds()) }

// id makes a name of what Home Assistant takes for one: letters, digits, _ and -.
func id(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(s))
}
