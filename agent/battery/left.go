package battery

import "time"

const (
	slopeOver  = 10 * time.Minute // of discharge that tells how fast it goes
	amperesOf  = 5 * time.Minute  // that are averaged
	slopeLeast = 3 * time.Minute  // less says nothing: a gauge takes minutes to settle
	leftMost   = 24 * 60.0        // minutes
)

// An estimate tells how long the battery lasts. It asks, in this order, the gauge's own
// reckoning; the capacity by the mean current; the gauge's rate; and the slope of the
// charge over the last ten minutes. It begins anew with each change of the mains.
type estimate struct {
	capacity float64 // Ah; 0 if not known
	since    time.Time
	points   []point // of ten minutes, oldest first
}

type point struct {
	at     time.Time
	charge Charge
	amps   Maybe[float64]
}

// add takes a sample and returns the minutes left, which are not known on mains and for
// the first three minutes on battery.
func (e *estimate) add(s Sample) (minutes Maybe[float64]) {
	if !s.Mains().Is(false) || !s.Gauge.Charge.Known {
		e.points, e.since = nil, time.Time{}
		return minutes
	}
	if e.since.IsZero() {
		e.since = s.At
	}
	for len(e.points) > 0 && s.At.Sub(e.points[0].at) > slopeOver {
		e.points = e.points[1:]
	}
	e.points = append(e.points, point{s.At, s.Gauge.Charge.Value, s.Gauge.Amps})
	if s.At.Sub(e.since) < slopeLeast {
		return minutes
	}
	charge := float64(s.Gauge.Charge.Value)
	switch perHour := s.Gauge.PerHour; {
	case s.Gauge.Minutes.Known:
		minutes.Value = s.Gauge.Minutes.Value
	case e.capacity > 0 && e.drawn() > 0:
		minutes.Value = 60 * e.capacity * charge / e.drawn()
	case perHour.Known && perHour.Value < 0:
		minutes.Value = 60 * charge / -perHour.Value
	default:
		minutes.Value = e.slope()
	}
	return Known(min(minutes.Value, leftMost))
}

// drawn is the mean current out of the battery over the last five minutes, A.
func (e *estimate) drawn() float64 {
	var sum, n float64
	last := e.points[len(e.points)-1].at
	for _, p := range e.points {
		if p.amps.Known && last.Sub(p.at) <= amperesOf {
			sum, n = sum-p.amps.Value, n+1
		}
	}
	if n == 0 {
		return 0
	}
	return sum / n
}

// slope is the charge by the slope of the least squares.
func (e *estimate) slope() float64 {
	var x, y, xx, xy, n float64
	for _, p := range e.points {
		minute := p.at.Sub(e.points[0].at).Minutes()
		x, y, n = x+minute, y+float64(p.charge), n+1
		xx, xy = xx+minute*minute, xy+minute*float64(p.charge)
	}
	spread := n*xx - x*x
	if spread <= 0 {
		return leftMost // one moment has no slope
	}
	perMinute := (n*xy - x*y) / spread
	if perMinute >= 0 {
		return leftMost // it does not fall
	}
	return float64(e.points[len(e.points)-1].charge) / -perMinute
}
