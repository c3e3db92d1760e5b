package power

import "time"

// Rules are the thresholds and times by which a step decides. Voltages are per
// cell and under load, charges 0 to 1.
type Rules struct {
	LowCharge       float64
	CriticalCharge  float64
	Hysteresis      float64 // above LowCharge, until things are well again
	LowVolts        float64
	CriticalVolts   float64
	EmergencyVolts  float64
	FloorVolts      float64 // shuts down even in the grace after a boot
	OverloadVolts   float64 // on mains: the supply cannot carry the load; 0: that never shuts down
	LowMinutes      float64
	CriticalMinutes float64

	Lost      time.Duration // mains gone for so long are lost
	Back      time.Duration // mains there for so long are back
	Dwell     time.Duration // of low and critical, until it counts
	Countdown time.Duration
	BlindMost time.Duration // on battery with a gauge that never said anything; 0: for ever
	Grace     time.Duration // after a boot, in which only FloorVolts shuts down
	Shutdown  time.Duration // that going down takes

	Line     bool    // there is a sense of the mains, besides the gauge
	Gauge    bool    // there is a gauge
	Capacity float64 // Ah of one cell, with its parallels; 0: not known
	Ohms     float64 // inner resistance of one cell, with its parallels
	Cycles   bool    // the board switches the node on again by itself when mains return
}

// DefaultRules are what suits one lithium cell, or several in parallel. The voltages
// are those of the boards' makers: SupTronics and 52Pi cut at 3.20 V, Waveshare at
// 3.15 V, the driver x120x-dkms at 3.1 V; below 3.0 V the cells take harm.
func DefaultRules() Rules {
	return Rules{
		LowCharge: 0.25, CriticalCharge: 0.10, Hysteresis: 0.05,
		LowVolts: 3.55, CriticalVolts: 3.40, EmergencyVolts: 3.20, FloorVolts: 3.10, OverloadVolts: 3.10,
		LowMinutes: 20, CriticalMinutes: 5,
		Lost: 3 * time.Second, Back: 10 * time.Second, Dwell: 30 * time.Second, Countdown: time.Minute,
		BlindMost: 15 * time.Minute, Grace: 2 * time.Minute, Shutdown: time.Minute,
		Line: true, Gauge: true, Ohms: 0.060,
	}
}

// Times that are not for users to choose.
const (
	settle       = 20 * time.Second // after a start, in which a floating pin is not believed
	gap          = 10 * time.Second // between two steps: a host that slept or stalled knows nothing
	blindAfter   = time.Minute      // without any sense
	conflictMost = time.Minute      // that strong votes may disagree
	emergencyFor = 10 * time.Second
	emergencyN   = 5               // good readings
	overloadFor  = 3 * time.Second // after five minutes of falling
	cancelAfter  = 5 * time.Second
	blindReads   = 10              // of the mains' sense, one after the other, that say battery
	wellFor      = 2 * time.Minute // after which a low battery without mains counts as a mistake
	wellVolts    = 0.10            // above LowVolts, for that
	suspectAfter = 5 * time.Minute
	suspectBy    = 0.30             // that gauge and curve may differ
	stuckFor     = 30 * time.Minute // at more than stuckWatts
	stuckVolts   = 0.100
	stuckWatts   = 2.0
	flaps        = 6 // edges of the mains within flapTime are a weak supply
	flapTime     = 10 * time.Minute
	loopGrace    = 10 * time.Minute
)

// needed is the charge from which on the battery can bridge an outage again.
func (r Rules) needed() float64 { return r.LowCharge + r.Hysteresis }

// criticalMinutes are never less than three shutdowns.
func (r Rules) criticalMinutes() float64 {
	return max(r.CriticalMinutes, 3*r.Shutdown.Minutes())
}
