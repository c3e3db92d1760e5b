package power

import (
	"slices"
	"time"
)

// A held condition has been true since a time.
type held struct {
	On    bool
	Since time.Duration
}

// is notes whether the condition holds now, and returns for how long it has; 0 if
// it does not.
func (h *held) is(now time.Duration, holds bool) time.Duration {
	if !holds {
		*h = held{}
		return 0
	}
	if !h.On {
		*h = held{true, now}
	}
	return now - h.Since
}

// A Memory is all that a step knows of the past. It is a plain value: copying it
// copies everything, and the zero value with Begin is a node that has just started.
type Memory struct {
	Mode  Mode
	Since time.Duration // of the mode
	Why   string        // of the mode

	now     time.Duration // of the last step
	begun   time.Duration
	grace   time.Duration // until when only the floor shuts down
	looping bool          // it was shut down again and again

	gauge filter
	line  lineWatch
	flow  currentVote
	ac    AC // by the votes, before it has lasted
	acFor held
	acNo  held
	clash held // strong votes that disagree

	track  track
	ema    float64 // volts, smoothed over a minute
	battNo held    // since when it is on battery, for slopes

	charge Charge
	stuck  stuckness
	differ held // gauge and curve

	low, critical, emergency, well held
	overload                       held
	order                          held // of the site to go down
	goods                          int  // good readings of the voltage while an emergency looms
	until                          time.Duration
	counting                       bool
	restart                        bool // told already
	blind                          held
	kept                           Mode // the mode before everything went blind
	alarms                         uint
	edges                          [flaps]time.Duration // of the mains, the newest last
	edge                           bool                 // the last raw word of the mains
	known                          bool                 // edge is one
}

// lineWatch is the sense of the mains.
type lineWatch struct {
	vigil
	Mains bool
	Reads int // good ones in a row that say battery
}

// Begin is the memory of a node that starts at a time. looping tells that the last
// shutdowns followed each other too fast.
func (r Rules) Begin(now time.Duration, looping bool) Memory {
	m := Memory{Mode: Starting, Since: now, Why: "The node has started.", now: now, begun: now, grace: now + r.Grace, looping: looping}
	m.gauge.Seen, m.line.Seen = now, now
	m.charge.Value = -1
	if looping {
		m.grace = now + max(r.Grace, loopGrace)
	}
	return m
}

// AC is what is believed of the mains at the moment.
func (m Memory) AC() AC { return m.ac }

// Volts is the median of the last voltages of a cell; 0 if it is not known.
func (m Memory) Volts() float64 { return m.gauge.volts() }

// Charge is how full the battery is thought to be.
func (m Memory) Charge() Charge { return m.charge }

// Countdown is when the shutdown comes, if one is counted down to.
func (m Memory) Countdown() (at time.Duration, running bool) { return m.until, m.counting }

// Health is that of the gauge and of the sense of the mains.
func (m Memory) Health() (gauge, line Health) { return m.gauge.Health, m.line.Health }

// Alarmed are the alarms that hold.
func (m Memory) Alarmed() (all []Alarm) {
	for i, a := range Alarms {
		if m.alarms&(1<<i) != 0 {
			all = append(all, a)
		}
	}
	return all
}

func (m *Memory) alarmed(a Alarm) bool { return m.alarms&(1<<slices.Index(Alarms, a)) != 0 }

// later moves every dwell to now: what happened in a gap is not known.
func (m *Memory) later(now time.Duration) {
	for _, h := range []*held{&m.acFor, &m.acNo, &m.clash, &m.battNo, &m.differ, &m.low, &m.critical, &m.emergency, &m.well, &m.overload, &m.order, &m.blind} {
		if h.On {
			h.Since = now
		}
	}
	if m.counting {
		m.until += now - m.now
	}
	m.gauge.Seen, m.line.Seen, m.stuck.Since, m.goods = now, now, now, 0
	m.track = track{}
}
