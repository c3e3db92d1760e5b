package power

import (
	"math"
	"time"
)

// A Charge is how full the battery is thought to be, and why.
type Charge struct {
	Value   float64 // 0 to 1; -1 if nobody knows
	From    Origin
	Minutes float64 // left on battery; -1 if that is not known
}

// An Origin is where a charge comes from.
type Origin string

// The origins.
const (
	FromGauge     Origin = "gauge"
	FromCurve     Origin = "curve"     // the voltage, since the gauge cannot be believed
	FromReckoning Origin = "reckoning" // what is left of the last good reading
)

// stuckness watches for a gauge that says the same for ever.
type stuckness struct {
	Charge float64
	Volts  float64
	Since  time.Duration
	Set    bool
	Stuck  bool
}

// reckonFaster is how much faster than before a battery is thought to empty that
// cannot be read any more, and reckonSlope what it loses an hour if even that is
// not known: 8 W out of two cells of 18650.
const (
	reckonFaster = 1.25
	reckonSlope  = 0.5
	guessWatts   = 8.0
	cellVolts    = 3.6
)

// estimate works out the charge and the minutes left.
func (m *Memory) estimate(r Rules, now time.Duration) {
	was := m.charge
	onBattery := m.battNo.is(now, m.ac == ACNo || m.ac == ACUnknown && m.Mode.onBattery())
	if m.gauge.Health == Failed || m.gauge.N == 0 {
		m.reckon(r, now, was)
		return
	}
	g, volts := m.gauge.Good, m.gauge.volts()
	byCurve := curve(m.ema, g.Amps, r.Ohms)
	m.charge = Charge{Value: -1, Minutes: -1}
	if g.Charge != nil {
		m.charge.Value, m.charge.From = *g.Charge, FromGauge
		if m.suspect(r, *g.Charge, volts, byCurve, now) {
			m.charge.Value = -1
		}
	}
	if m.charge.Value < 0 && volts > 0 {
		m.charge.Value, m.charge.From = byCurve, FromCurve
		if m.ac == ACYes && was.Value >= 0 { // it reads high while it charges
			m.charge.Value = min(byCurve, was.Value+trendPart/30)
		}
	}
	if m.charge.From != was.From {
		m.track.forget()
	}
	p := point{At: now, Volts: volts, Charge: m.charge.Value}
	if g.Amps != nil {
		p.Amps, p.Flow = *g.Amps, true
	}
	switch added := m.track.add(p); {
	case onBattery < slopeLeast:
	case added || was.Minutes < 0:
		m.charge.Minutes = m.left(r, now)
	default:
		m.charge.Minutes = was.Minutes // no more is known than ten seconds ago
	}
}

// suspect reports whether the gauge's charge cannot be believed: it does not move
// while the voltage does, or says empty with a voltage that no empty cell has. One
// that is only far from the curve is noted for an alarm: cells differ. All this
// shows on battery only.
func (m *Memory) suspect(r Rules, charge, volts, byCurve float64, now time.Duration) bool {
	if !m.battNo.On || volts == 0 {
		m.stuck = stuckness{}
		m.differ.is(now, false)
		return false
	}
	s := &m.stuck
	if !s.Set || math.Abs(charge-s.Charge) >= 0.002 {
		*s = stuckness{Charge: charge, Volts: volts, Since: now, Set: true}
	}
	idle := m.gauge.Good.Watts > 0 && m.gauge.Good.Watts <= stuckWatts
	if s.Volts-volts > stuckVolts || !idle && now-s.Since > stuckFor {
		s.Stuck = true
	}
	lies := charge <= r.CriticalCharge && volts >= r.LowVolts+wellVolts
	m.differ.is(now, math.Abs(charge-byCurve) > suspectBy)
	return s.Stuck || lies
}

// reckon goes on from the last good charge, when the gauge does not answer: a
// quarter faster than it fell before.
func (m *Memory) reckon(r Rules, now time.Duration, was Charge) {
	if m.gauge.N == 0 || was.Value < 0 {
		m.charge = Charge{Value: -1, Minutes: -1}
		return
	}
	if m.ac == ACYes || !m.battNo.On {
		m.charge = Charge{Value: was.Value, From: FromReckoning, Minutes: -1}
		return
	}
	perHour, ok := slope(m.track.since(m.gauge.At-slopeOver), slopeLeast, chargeOf)
	if !ok || perHour >= 0 {
		perHour = -reckonSlope
		if r.Capacity > 0 {
			perHour = -guessWatts / (r.Capacity * cellVolts)
		}
	}
	perHour *= reckonFaster
	from := m.now // of the last step
	value := max(was.Value+perHour*(now-from).Hours(), 0)
	m.charge = Charge{Value: value, From: FromReckoning, Minutes: min(value/-perHour*60, mostLeft)}
}

// left is the time to empty in minutes, by the first that is known: the board's
// own, capacity and current, the chip's rate, the slope of the charge. -1 if none.
func (m *Memory) left(r Rules, now time.Duration) float64 {
	g, c := m.gauge.Good, m.charge.Value
	if g.Minutes != nil && *g.Minutes >= 0 && m.charge.From == FromGauge {
		return min(*g.Minutes, mostLeft)
	}
	if amps, ok := m.track.flow(now); ok && r.Capacity > 0 && amps < backAmps {
		return min(r.Capacity*c/-amps*60, mostLeft)
	}
	if g.Rate != nil && *g.Rate < -0.005 {
		return min(c/-*g.Rate*60, mostLeft)
	}
	perHour, ok := slope(m.track.since(max(now-slopeOver, m.battNo.Since)), slopeLeast, chargeOf)
	switch {
	case !ok:
		return -1
	case perHour >= 0:
		return mostLeft
	}
	return min(c/-perHour*60, mostLeft)
}
