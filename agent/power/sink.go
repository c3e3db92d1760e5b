package power

import "time"

// A reason is why a battery counts as low or critical; empty if it does not.
type reason string

// lows and criticals weigh charge, voltage and time, whichever comes first.
func (t *turn) lows() reason {
	return t.below(t.r.LowCharge, t.r.LowVolts, t.r.LowMinutes)
}

func (t *turn) criticals() reason {
	return t.below(t.r.CriticalCharge, t.r.CriticalVolts, t.r.criticalMinutes())
}

func (t *turn) below(charge, volts, minutes float64) reason {
	m := &t.m
	v, c := m.Volts(), m.charge
	if m.gauge.Health == Failed || m.gauge.N == 0 {
		return "" // blind has its own rules
	}
	if m.alone(t.r) { // charges may lie
		if v > 0 && v <= volts && m.track.drift(t.now, false) == falling {
			return "voltage"
		}
		return ""
	}
	switch {
	case v > 0 && v <= volts:
		return "voltage"
	case c.Value >= 0 && c.Value <= charge:
		return "charge"
	case c.Minutes >= 0 && c.Minutes <= minutes:
		return "time left"
	}
	return ""
}

// sink goes on to low and to critical.
func (t *turn) sink() {
	m := &t.m
	if m.gauge.Health == Failed && t.r.Gauge || m.gauge.N == 0 {
		t.sinkBlind()
		return
	}
	low, critical := t.lows(), t.criticals()
	lasts := m.critical.is(t.now, critical != "")
	if lasts >= t.r.Dwell && critical != "" {
		t.toCritical("By its %s the battery is critical: %s.", critical, t.level())
		return
	}
	if m.low.is(t.now, low != "") >= t.r.Dwell && low != "" && m.Mode == OnBattery {
		held := m.critical
		t.enter(Low, "By its %s the battery is low: %s.", low, t.level())
		m.critical = held
	}
}

// sinkBlind is for a gauge that does not answer, with mains that are seen to be
// gone: the load is shed at once, and the node goes down when the charge that is
// reckoned is critical, or after some time if there never was one.
func (t *turn) sinkBlind() {
	m := &t.m
	if m.Mode == OnBattery {
		t.enter(Low, "The gauge does not answer, and the mains are gone.")
	}
	seen := m.ac == ACNo && m.line.Reads >= blindReads
	switch {
	case !seen:
	case m.charge.Value >= 0 && m.charge.Value <= t.r.CriticalCharge:
		t.toCritical("The gauge does not answer, and by what it said last the battery is at %s.", t.level())
	case m.charge.Value < 0 && t.r.BlindMost > 0 && t.now-m.acNo.Since >= t.r.BlindMost:
		t.toCritical("The gauge never said anything, and the mains have been gone for %v.", t.r.BlindMost)
	}
}

// toCritical begins the countdown. In the grace after a boot it ends no earlier
// than that.
func (t *turn) toCritical(why string, args ...any) {
	t.enter(Critical, why, args...)
	t.m.until, t.m.counting = max(t.now+t.r.Countdown, t.m.grace), true
	t.do(Action{Kind: Count, Mode: Critical, At: t.m.until, Why: t.m.Why})
}

// countdown goes down when it is over. It waits while the battery is seen to fill
// itself, or the sensors do not tell any more that it is feeding the node.
func (t *turn) countdown() {
	m := &t.m
	if !m.counting || t.now < m.until {
		return
	}
	switch {
	case m.ac == ACYes:
		return // five seconds of it cancel
	case m.ac == ACUnknown && m.track.drift(t.now, false) != falling:
		return
	case m.charging(t.now):
		return
	case m.looping && !m.second(t.now):
		return
	case t.young() && m.gauge.believed() && m.flow.Says != ACNo && m.track.drift(t.now, true) == unclear && !m.second(t.now):
		return // a pin alone, soon after a boot: it may have stuck
	case m.gauge.Health == Failed && m.line.Reads < blindReads:
		return
	}
	t.halt(false, "%s The countdown is over.", m.Why)
}

// young reports whether the node has not run for as long as a stuck pin takes to
// show.
func (t *turn) young() bool { return t.now-t.m.begun < trendOver+time.Minute }

// rise takes back what turns out to have been a mistake.
func (t *turn) rise() {
	m := &t.m
	if m.Mode != Low && m.Mode != Critical {
		return
	}
	fine := m.gauge.Health == Healthy && m.charge.Value >= t.r.needed() && (m.Volts() == 0 || m.Volts() >= t.r.LowVolts+wellVolts) && t.lows() == ""
	if m.well.is(t.now, fine) >= wellFor && fine {
		t.enter(OnBattery, "The battery is at %s after all.", t.level())
	}
}
