package gauge

import (
	"math"
	"slices"
	"time"

	"primespark/agent/battery"
)

// usualOhm is the inner resistance of a lithium cell with its contacts, Ω. Cells in
// parallel have less.
const usualOhm = 0.060

// A restPoint is one row of a table.
type restPoint struct {
	volts  battery.Volts
	charge battery.Charge
}

// resting is how full a lithium-ion cell is by its voltage when no current flows.
var resting = []restPoint{
	{3.27, 0},
	{3.61, 0.05},
	{3.69, 0.10},
	{3.71, 0.15},
	{3.73, 0.20},
	{3.75, 0.25},
	{3.77, 0.30},
	{3.79, 0.35},
	{3.80, 0.40},
	{3.82, 0.45},
	{3.84, 0.50},
	{3.85, 0.55},
	{3.87, 0.60},
	{3.91, 0.65},
	{3.95, 0.70},
	{3.98, 0.75},
	{4.02, 0.80},
	{4.08, 0.85},
	{4.11, 0.90},
	{4.15, 0.95},
	{4.20, 1},
}

// atRest returns the charge of a cell at rest.
func atRest(v battery.Volts) battery.Charge {
	i := 0
	for i < len(resting) && resting[i].volts <= v {
		i++
	}
	switch i {
	case 0:
		return 0
	case len(resting):
		return 1
	}
	a, b := resting[i-1], resting[i]
	return a.charge + battery.Charge((v-a.volts)/(b.volts-a.volts))*(b.charge-a.charge)
}

// voltsAtRest is the voltage that a cell of a charge has at rest.
func voltsAtRest(c battery.Charge) battery.Volts {
	i := slices.IndexFunc(resting, func(p restPoint) bool { return p.charge >= c })
	switch i {
	case -1:
		return resting[len(resting)-1].volts
	case 0:
		return resting[0].volts
	}
	a, b := resting[i-1], resting[i]
	return a.volts + battery.Volts((c-a.charge)/(b.charge-a.charge))*(b.volts-a.volts)
}

const (
	settle = time.Minute // time constant of the mean
	// While it is charged, the voltage says more than there is: the charge then rises
	// no faster than a full charge in an hour and a half.
	riseAtMost = 1.0 / 90 // a minute
)

// byVoltage tells the charge of a battery whose gauge only measures its voltage and,
// at best, its current: the median of three, at rest, as a running mean.
type byVoltage struct {
	ohm  float64
	last []battery.Charge // three at most
	mean battery.Charge
	at   time.Time // of the mean; zero: none yet
}

// add takes the voltage of a cell under load.
func (b *byVoltage) add(v battery.Volts, amps battery.Maybe[float64], now time.Time) battery.Charge {
	flows := amps.Or(0)
	b.last = append(b.last, atRest(v-battery.Volts(flows*b.ohm)))
	if len(b.last) > 3 {
		b.last = b.last[1:]
	}
	middle := slices.Sorted(slices.Values(b.last))[len(b.last)/2]
	if b.at.IsZero() {
		b.mean, b.at = middle, now
		return b.mean
	}
	passed := now.Sub(b.at)
	b.at = now
	change := (middle - b.mean) * battery.Charge(1-math.Exp(-passed.Seconds()/settle.Seconds()))
	if flows > chargingAt {
		change = min(max(change, 0), battery.Charge(riseAtMost*passed.Minutes()))
	}
	b.mean += change
	return b.mean
}
