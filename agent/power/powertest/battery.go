// Package powertest holds batteries made of arithmetic: capacity, inner resistance
// and a curve. They feed tests and the figures, a thousand times faster than life.
package powertest

import "math"

// A Battery is one lithium cell, or several in parallel.
type Battery struct {
	Capacity float64 // Wh at rest
	Ohms     float64
	Charge   float64 // 0 to 1
	Watts    float64 // of the charger
	Dead     bool    // it fell below CutOff under load, and the node went out
}

// CutOff is the voltage under load at which the converter of a board gives up, and
// the cells have been harmed for a while.
const CutOff = 2.80

// At rest, by charge: a cell of 18650, nickel-manganese-cobalt.
var rest = [][2]float64{
	{0, 2.85},
	{.01, 3.05},
	{.02, 3.18},
	{.05, 3.36},
	{.10, 3.50},
	{.15, 3.56},
	{.20, 3.60},
	{.30, 3.65},
	{.40, 3.70},
	{.50, 3.76},
	{.60, 3.84},
	{.70, 3.93},
	{.80, 4.00},
	{.90, 4.09},
	{1, 4.19},
}

// Rest is the voltage of a cell that nothing loads.
func (b *Battery) Rest() float64 {
	for i := 1; i < len(rest); i++ {
		if p, q := rest[i-1], rest[i]; b.Charge <= q[0] {
			return p[1] + (q[1]-p[1])*(b.Charge-p[0])/(q[0]-p[0])
		}
	}
	return rest[len(rest)-1][1]
}

// Flow lets the node draw watts for some seconds, from the mains or the battery,
// and returns what a gauge sees: volts across the cell and amps into it.
func (b *Battery) Flow(watts float64, mains bool, seconds float64) (volts, amps float64) {
	e := b.Rest()
	if mains {
		into := b.Watts * min(1, (1-b.Charge)/0.1) // it eases off when nearly full
		amps = into / e
	} else {
		// P = U·I and U = e − I·R: the smaller root of R·I² − e·I + P.
		d := e*e - 4*b.Ohms*watts
		if d < 0 {
			b.Dead = true
			d = 0
		}
		amps = -(e - math.Sqrt(d)) / (2 * b.Ohms)
	}
	volts = e + amps*b.Ohms
	b.Charge = min(max(b.Charge+e*amps*seconds/3600/b.Capacity, 0), 1)
	if !mains && (volts < CutOff || b.Charge == 0) {
		b.Dead = true
	}
	return volts, amps
}
