package battery

import (
	"math"
	"time"
)

const (
	slopeOver  = 10 * time.Minute // of discharge that tells how fast it goes
	slopeLeast = 3 * time.Minute  // less says nothing: a gauge takes minutes to settle
	leftMost   = 24 * 60.0        // minutes
)

// An estimate tells how long the battery lasts, by the slope of its charge over
// the last ten minutes on battery. It begins anew with the mains.
type estimate struct {
	points []point // oldest first
}

type point struct {
	at     time.Time
	charge Charge
}

// add takes a reading and returns the minutes left, or NaN while that is not
// known: on mains, and for the first three minutes on battery.
func (e *estimate) add(r Reading, now time.Time) float64 {
	if r.Mains {
		e.points = nil
		return math.NaN()
	}
	for len(e.points) > 0 && now.Sub(e.points[0].at) > slopeOver {
		e.points = e.points[1:]
	}
	e.points = append(e.points, point{now, r.Charge})
	if now.Sub(e.points[0].at) < slopeLeast {
		return math.NaN()
	}
	return min(e.minutes(), leftMost)
}

// minutes is the charge by the slope of the least squares.
func (e *estimate) minutes() float64 {
	var x, y, xx, xy, n float64
	for _, p := range e.points {
		minute := p.at.Sub(e.points[0].at).Minutes()
		x, y, n = x+minute, y+float64(p.charge), n+1
		xx, xy = xx+minute*minute, xy+minute*float64(p.charge)
	}
	perMinute := (n*xy - x*y) / (n*xx - x*x)
	charge := float64(e.points[len(e.points)-1].charge)
	if perMinute >= 0 {
		return leftMost // it does not fall
	}
	return charge / -perMinute
}
