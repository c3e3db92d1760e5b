// Package fleet is the vocabulary of nodes: who they are, how they fare, and
// how one sees the others.
package fleet

import (
	"regexp"
	"slices"
	"time"

	"primespark/shared/model"
)

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// ValidName reports whether s can name a node, a stream or a cluster: 1 to 32
// of a-z, 0-9 and hyphen, the first no hyphen. Such a name is safe in a
// certificate's URI, a topic, a path and a page.
func ValidName(s string) bool { return name.MatchString(s) }

// A Role is what a node is in its cluster.
type Role string

// The roles.
const (
	Coordinator Role = "coordinator"
	Agent       Role = "agent"
)

// Valid reports whether r is one of the roles.
func (r Role) Valid() bool { return r == Coordinator || r == Agent }

// A Mode is the autonomy level of a node (DESIGN §1).
type Mode string

// The modes.
const (
	Normal   Mode = "normal"   // quorum reachable
	Degraded Mode = "degraded" // no quorum; agents route among themselves
	Isolated Mode = "isolated" // no peers; local inference goes on
)

// A Member is what a node says of itself that seldom changes. It travels as
// gossip's node meta, at most 512 bytes in JSON.
type Member struct {
	Name    string `json:"n"`
	Role    Role   `json:"r"`
	API     string `json:"a,omitempty"` // host:port of its HTTPS API
	Raft    string `json:"f,omitempty"` // host:port, coordinators only
	Version string `json:"v,omitempty"`
}

// A PowerSource is where the node's current comes from.
type PowerSource string

// The power sources.
const (
	PowerUnknown PowerSource = ""
	Mains        PowerSource = "mains"
	Battery      PowerSource = "battery"
)

// Power is the node's power as others need to know it.
type Power struct {
	Source  PowerSource `json:"source,omitempty"`
	Charge  *float64    `json:"state_of_charge,omitempty"` // 0 to 1; nil without a battery
	Minutes *float64    `json:"minutes_left,omitempty"`    // on battery, by its present load
	State   PowerState  `json:"state,omitempty"`           // what the node makes of it
}

// A PowerState is what its battery means for a node (DESIGN §8).
type PowerState string

// The states of a node's power. Empty is a node without a battery, or of a version
// that tells none.
const (
	PowerStarting     PowerState = "starting"
	PowerMains        PowerState = "mains"
	PowerRecovering   PowerState = "recovering" // on mains, and the battery could not bridge another outage yet
	PowerOnBattery    PowerState = "on_battery"
	PowerLow          PowerState = "low" // the host's own work only
	PowerCritical     PowerState = "critical"
	PowerEmergency    PowerState = "emergency"
	PowerShuttingDown PowerState = "shutting_down"
	PowerDark         PowerState = "unknown" // its sensors do not answer
)

// OnBattery reports whether the battery feeds the node, by its own word.
func (p Power) OnBattery() bool {
	switch p.State {
	case PowerOnBattery, PowerLow, PowerCritical, PowerEmergency, PowerShuttingDown:
		return true
	case PowerMains, PowerRecovering:
		return false
	}
	return p.Source == Battery
}

// Low reports whether the node has power for its own host's work at most.
func (p Power) Low() bool {
	switch p.State {
	case PowerLow, PowerCritical, PowerEmergency, PowerShuttingDown:
		return true
	}
	return false
}

// A Vital is how a node fares now: a small record that each node makes of itself
// alone and gossip carries. The newest one wins: a higher Boot, then a higher Seq.
type Vital struct {
	Node string    `json:"node"`
	Boot int64     `json:"boot"` // start of the process, Unix ns: orders records across restarts
	Seq  uint64    `json:"seq"`  // of the record within the boot
	At   time.Time `json:"at"`   // by the node's own clock; for people, never for order

	Mode        Mode      `json:"mode,omitempty"`
	Ready       bool      `json:"ready"`
	Reasons     []string  `json:"reasons,omitempty"` // codes of /readyz that hold; warnings too, so a ready node may have some
	Power       Power     `json:"power,omitzero"`
	Site        string    `json:"site,omitempty"`        // nodes of the same site share their mains
	Temperature *float64  `json:"temperature,omitempty"` // °C of the processor
	CPU         float64   `json:"cpu"`                   // 0 to 1, of all cores
	Memory      float64   `json:"memory"`                // 0 to 1, used
	InFlight    int       `json:"in_flight"`             // requests being answered
	Queue       int       `json:"queue"`                 // requests waiting
	Models      []Serving `json:"models,omitempty"`      // that answer, by name
	Notes       []Note    `json:"model_notes,omitempty"` // on models of the fleet that do not answer as they should, by name

	Accelerator *Accelerator `json:"accelerator,omitempty"` // nil without one
	Throttled   []string     `json:"throttled,omitempty"`   // why the firmware holds the processor back now: "under_voltage", "throttled", ...
	Seat        *Seat        `json:"seat,omitempty"`        // of a coordinator; nil of an agent
}

// An Accelerator is how the one of a node fares.
type Accelerator struct {
	Kind        string   `json:"kind"`                  // "hailo8"; "hailo" while nobody knows which
	State       string   `json:"state"`                 // "ready", or what keeps it from that
	Detail      string   `json:"detail,omitempty"`      // one short sentence, if it is not ready
	Temperature *float64 `json:"temperature,omitempty"` // °C of the hottest sensor
	FPS         float64  `json:"fps,omitempty"`         // inferences a second of all its models, as of late; whole above ten
	Simulated   bool     `json:"simulated,omitempty"`   // a double answers, and no chip
}

// Serving is one resident model of a node.
type Serving struct {
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Backend string  `json:"backend"`              // "builtin"
	Millis  float64 `json:"latency_ms,omitempty"` // moving mean of one inference; 0 before the first
	Cold    bool    `json:"cold,omitempty"`       // on disk, and not in memory: the first request loads it
}

// A Note is what an agent tells of a model that the fleet was given and that it does
// not serve, or not yet.
type Note struct {
	Model  string `json:"model"`
	State  string `json:"state"`            // "fetching", "refused" or "unfit"
	Detail string `json:"detail,omitempty"` // how far it is, or why; short
}

// MaxNotes bounds those that an agent tells at a time, and MaxNote the bytes of the
// detail of one.
const (
	MaxNotes = 16
	MaxNote  = 160
)

// Bounds of a Vital that comes from another node.
const (
	maxList = 512 // entries of each list

	// LatestBoot keeps a hostile record from being the newest for ever: no clock
	// is past the year 2116.
	LatestBoot = 1 << 62
)

// Plausible tells whether those who route by v can calculate with it.
func (v Vital) Plausible() bool {
	charge := v.Power.Charge
	minutes := v.Power.Minutes
	return ValidName(v.Node) && (v.Site == "" || ValidName(v.Site)) && (minutes == nil || *minutes >= 0) && len(v.Power.State) <= 32 && v.Boot >= 0 && v.Boot < LatestBoot &&
		v.InFlight >= 0 && v.Queue >= 0 && (charge == nil || *charge >= 0 && *charge <= 2) &&
		len(v.Models) <= maxList && len(v.Reasons) <= maxList && len(v.Notes) <= maxList && len(v.Throttled) <= maxList &&
		!slices.ContainsFunc(v.Models, func(s Serving) bool { return !model.ValidName(s.Name) || s.Millis < 0 })
}

// Newer reports whether v replaces old.
func (v Vital) Newer(old Vital) bool {
	if v.Boot != old.Boot {
		return v.Boot > old.Boot
	}
	return v.Seq > old.Seq
}

// A Liveness is how gossip sees a node.
type Liveness string

// The states of a node in the eyes of the others.
const (
	Alive    Liveness = "alive"
	LinkDown Liveness = "link_down" // others still see it
	Dead     Liveness = "dead"
	Left     Liveness = "left" // it said goodbye
)

// A Node is one member as this process sees it.
type Node struct {
	Member
	Liveness Liveness  `json:"liveness"`
	Since    time.Time `json:"since"`     // of the liveness, by this process's clock
	LastSeen time.Time `json:"last_seen"` // when its newest vital came in, by this process's clock
	Vital    Vital     `json:"vital"`
}

// A View is all that this process knows of the fleet, itself included, by name.
// A View that is shared is never changed.
type View []Node

// Find returns the node of that name.
func (v View) Find(name string) (Node, bool) {
	for _, n := range v {
		if n.Name == name {
			return n, true
		}
	}
	return Node{}, false
}
