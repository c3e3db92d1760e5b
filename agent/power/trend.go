package power

import (
	"math"
	"time"
)

const (
	pointEvery = 10 * time.Second
	points     = 61 // ten minutes
	slopeOver  = 10 * time.Minute
	slopeLeast = 3 * time.Minute
	trendOver  = 5 * time.Minute
	trendVolts = 0.004 // over trendOver, by which the voltage really moves: gauges step by 1.25 mV
	trendPart  = 0.003 // of charge over trendOver
	mostLeft   = 24 * 60.0
)

// A point is one moment of the battery's life.
type point struct {
	At     time.Duration
	Volts  float64
	Charge float64 // -1: not known
	Amps   float64 // NaN is not used: 0 with Flow false
	Flow   bool    // Amps is known
}

// A track is the last ten minutes, and which way they went. It is an array, so that
// a copy is a copy.
type track struct {
	P    [points]point
	N    int   // points there are
	Way  drift // of the voltage
	Both drift // of voltage and charge
}

// add takes a point, if the last is old enough.
func (t *track) add(p point) (added bool) {
	if t.N > 0 && p.At-t.P[t.N-1].At < pointEvery {
		return false
	}
	if t.N == points {
		copy(t.P[:], t.P[1:])
		t.N--
	}
	t.P[t.N] = p
	t.N++
	t.Way, t.Both = t.ways(p.At)
	return true
}

// drift tells which way the voltage has moved for five minutes, or voltage and
// charge. It is unclear when the track has ended.
func (t *track) drift(now time.Duration, both bool) drift {
	switch {
	case t.N == 0 || now-t.P[t.N-1].At > 3*pointEvery:
		return unclear
	case both:
		return t.Both
	}
	return t.Way
}

// forget drops the charges, not the voltages: another measure of them begins.
func (t *track) forget() {
	for i := range t.P {
		t.P[i].Charge = -1
	}
}

// since returns the points from a time on.
func (t *track) since(from time.Duration) []point {
	i := 0
	for i < t.N && t.P[i].At < from {
		i++
	}
	return t.P[i:t.N]
}

// slope is that of the least squares of y, an hour; ok if it covers least.
func slope(all []point, least time.Duration, y func(point) (float64, bool)) (perHour float64, ok bool) {
	var x, s, xx, xs, n float64
	var first, last time.Duration
	for _, p := range all {
		v, known := y(p)
		if !known {
			continue
		}
		if n == 0 {
			first = p.At
		}
		last = p.At
		h := (p.At - first).Hours()
		x, s, n = x+h, s+v, n+1
		xx, xs = xx+h*h, xs+h*v
	}
	if n < 3 || last-first < least {
		return 0, false
	}
	return (n*xs - x*s) / (n*xx - x*x), true
}

func voltsOf(p point) (float64, bool)  { return p.Volts, true }
func chargeOf(p point) (float64, bool) { return p.Charge, p.Charge >= 0 }

// A drift is the direction in which the battery moves.
type drift int

const (
	unclear drift = iota // five minutes are not over yet
	still
	rising
	falling
)

// ways are the drifts of voltage, and of voltage and charge. When one rises while
// the other falls, nothing is clear.
func (t *track) ways(now time.Duration) (volts, both drift) {
	all := t.since(now - trendOver - pointEvery)
	perHour, ok := slope(all, trendOver-pointEvery, voltsOf)
	if !ok {
		return unclear, unclear
	}
	volts = direction(perHour*trendOver.Hours(), trendVolts)
	both = volts
	if c, ok := slope(all, trendOver-pointEvery, chargeOf); ok {
		switch by := direction(c*trendOver.Hours(), trendPart); {
		case volts == still:
			both = by
		case by != still && by != volts:
			both = unclear
		}
	}
	return volts, both
}

func direction(moved, least float64) drift {
	switch {
	case moved >= least:
		return rising
	case moved <= -least:
		return falling
	}
	return still
}

// flow is the mean current of five minutes, of at least three.
func (t *track) flow(now time.Duration) (amps float64, ok bool) {
	n := 0.0
	for _, p := range t.since(now - trendOver) {
		if p.Flow {
			amps, n = amps+p.Amps, n+1
		}
	}
	return amps / max(n, 1), n*pointEvery.Seconds() >= slopeLeast.Seconds()
}

// resting is the charge of a cell at rest by its voltage, and loaded that of one that feeds a Pi
// with 1 to 2 A (the table of PiSugar's power manager).
var (
	resting = [][2]float64{
		{3.27, 0},
		{3.61, .05},
		{3.69, .10},
		{3.71, .15},
		{3.73, .20},
		{3.75, .25},
		{3.77, .30},
		{3.79, .35},
		{3.80, .40},
		{3.82, .45},
		{3.84, .50},
		{3.85, .55},
		{3.87, .60},
		{3.91, .65},
		{3.95, .70},
		{3.98, .75},
		{4.02, .80},
		{4.08, .85},
		{4.11, .90},
		{4.15, .95},
		{4.20, 1},
	}
	loaded = [][2]float64{{3.10, 0}, {3.32, .045}, {3.49, .256}, {3.58, .49}, {3.62, .55}, {3.70, .65}, {3.80, .77}, {3.90, .88}, {4.05, .95}, {4.10, 1}}
)

// curve reads the charge off the voltage: at rest, if the current is known, which
// tells how far the voltage has sunk under it.
func curve(volts float64, amps *float64, ohms float64) float64 {
	if amps == nil {
		return along(loaded, volts)
	}
	return along(resting, volts-*amps*ohms)
}

func along(table [][2]float64, volts float64) float64 {
	if volts <= table[0][0] {
		return 0
	}
	for i := 1; i < len(table); i++ {
		if a, b := table[i-1], table[i]; volts <= b[0] {
			return a[1] + (b[1]-a[1])*(volts-a[0])/(b[0]-a[0])
		}
	}
	return 1
}

// smooth is an exponential mean with a time constant of a minute.
func smooth(was, x float64, after time.Duration) float64 {
	if was == 0 {
		return x
	}
	return was + (x-was)*(1-math.Exp(-after.Seconds()/60))
}
