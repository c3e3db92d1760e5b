// Package power decides what the state of the battery means for the node, and
// does it: sheds load, says goodbye, halts the machine before the cells die.
//
// The decision is a pure function, Rules.Step: a memory, a sample and the time go
// in, a memory and actions come out. It promises that a fault of a sensor alone
// never shuts a node down, that mains never do, and that a battery that runs out
// always does, before its cells are harmed. The other half, Part, feeds it once a
// second, brings the node to what its mode asks for, and keeps the evidence on
// disk, so that the next boot can explain the last shutdown.
//
// Voltages are per cell and under load. Boards for the Raspberry Pi often have no
// cut-off of their own: what this package decides is then the only thing between
// the cells and their death.
package power

import "time"

// A Mode is what the battery means for the node.
type Mode string

// The modes. Their names are on disk, in gossip and on the page.
const (
	Starting     Mode = "starting"      // nothing is known yet, for up to 20 s
	Mains        Mode = "mains"         //
	Recovering   Mode = "recovering"    // on mains, and the battery could not bridge another outage yet
	OnBattery    Mode = "on_battery"    //
	Low          Mode = "low"           // no new work but the host's own
	Critical     Mode = "critical"      // a countdown runs, which mains cancel
	Emergency    Mode = "emergency"     // down at once
	ShuttingDown Mode = "shutting_down" // for good: only a boot ends it
	Unknown      Mode = "unknown"       // neither gauge nor mains sense; never shuts down
)

// severe orders the modes by what they take from the node.
var severe = map[Mode]int{Starting: 0, Mains: 0, Unknown: 0, Recovering: 1, OnBattery: 1, Low: 2, Critical: 3, Emergency: 4, ShuttingDown: 4}

// Atleast reports whether m takes as much from the node as other, or more.
func (m Mode) Atleast(other Mode) bool { return severe[m] >= severe[other] }

// onBattery reports whether a mode says that the battery feeds the node.
func (m Mode) onBattery() bool { return m == OnBattery || m == Low || m == Critical }

// AC tells whether the mains feed the node.
type AC string

// What is known of the mains.
const (
	ACUnknown AC = ""
	ACYes     AC = "yes"
	ACNo      AC = "no"
)

// A Sample is what the sensors say at one moment. What was not tried is no fault.
type Sample struct {
	Gauge Gauge
	Line  Line
	Order Order // from outside
}

// A Gauge is one reading of the battery. Nil and zero are "not known".
type Gauge struct {
	Tried   bool     `json:"tried,omitempty"`
	Err     string   `json:"err,omitempty"`   // why it could not be read
	Volts   float64  `json:"volts,omitempty"` // across one cell
	Charge  *float64 `json:"charge,omitempty"`
	Amps    *float64 `json:"amps,omitempty"`    // into the battery; negative discharges
	Rate    *float64 `json:"rate,omitempty"`    // of charge an hour, as the chip measures it
	Minutes *float64 `json:"minutes,omitempty"` // left, as the board reckons
	Watts   float64  `json:"watts,omitempty"`   // that the node draws
	Request bool     `json:"request,omitempty"` // the board asks for a shutdown, and will cut the power
}

// A Line is one reading of whether the mains are there: a pin, a register.
type Line struct {
	Tried bool   `json:"tried,omitempty"`
	Err   string `json:"err,omitempty"`
	Mains bool   `json:"mains,omitempty"`
}

// An Order is somebody's wish that the node goes down.
type Order string

// The orders. An operator's counts always, the site's on battery only.
const (
	NoOrder       Order = ""
	OperatorOrder Order = "operator"
	SiteOrder     Order = "site"
)

// A Kind is a kind of action.
type Kind string

// The kinds of actions.
const (
	Enter   Kind = "enter"   // a mode was entered
	Count   Kind = "count"   // a countdown to the shutdown runs until At
	Cancel  Kind = "cancel"  // it was cancelled
	Halt    Kind = "halt"    // power off; in Emergency without asking anybody
	Restart Kind = "restart" // mains came back while going down, and the board would stay off: boot anew
	Raise   Kind = "raise"   // an alarm
	Clear   Kind = "clear"   // an alarm is over
)

// An Action is what follows from a step.
type Action struct {
	Kind  Kind
	Mode  Mode
	Alarm Alarm
	Why   string        // one sentence
	At    time.Duration // Count: when it is over
	By    string        // Halt: battery, operator or site
	Force bool          // Halt: what others hold against it is ignored
}

// An Alarm is something about the power that an operator should see to.
type Alarm string

// The alarms.
const (
	GaugeFailed    Alarm = "gauge_failed"
	GaugeSuspect   Alarm = "gauge_suspect"
	LineFailed     Alarm = "ac_sense_failed"
	LineConflict   Alarm = "ac_sense_conflict"
	WeakSupply     Alarm = "psu_weak"
	OverloadSupply Alarm = "psu_overloaded"
	BootLoop       Alarm = "boot_loop"
	Blind          Alarm = "power_unknown"
)

// Alarms are all there are, in the order of the bits of a memory.
var Alarms = []Alarm{GaugeFailed, GaugeSuspect, LineFailed, LineConflict, WeakSupply, OverloadSupply, BootLoop, Blind}
