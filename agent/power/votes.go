package power

import "time"

// Limits of the current that tell where it comes from: an idle Pi 5 draws 400 mA
// of two cells and 800 mA of one.
const (
	lostAmps  = -0.150
	backAmps  = -0.050
	lostReads = 3
	backReads = 5
)

// A currentVote is what the direction of the current says of the mains.
type currentVote struct {
	Says AC
	N    int // readings in a row that say otherwise
}

func (v currentVote) add(amps float64) currentVote {
	var says AC
	var need int
	switch {
	case amps < lostAmps:
		says, need = ACNo, lostReads
	case amps > backAmps:
		says, need = ACYes, backReads
	default:
		v.N = 0
		return v
	}
	if says == v.Says {
		v.N = 0
		return v
	}
	if v.N++; v.N >= need {
		return currentVote{Says: says}
	}
	return v
}

// look takes what was read, and votes on the mains.
func (m *Memory) look(r Rules, s Sample, now time.Duration) {
	fresh, before := false, m.gauge.At
	if s.Gauge.Tried {
		var jumped bool
		m.gauge, fresh, jumped = m.gauge.add(s.Gauge, now)
		if jumped {
			m.track.forget()
		}
		switch {
		case !fresh:
		case s.Gauge.Amps != nil:
			m.flow = m.flow.add(*s.Gauge.Amps)
		default:
			m.flow = currentVote{}
		}
	}
	if s.Line.Tried {
		m.line.vigil = m.line.note(s.Line.Err == "", now)
		switch {
		case s.Line.Err != "":
			m.line.Reads = 0
		case s.Line.Mains:
			m.line.Mains, m.line.Reads = true, 0
		default:
			m.line.Mains, m.line.Reads = false, m.line.Reads+1
		}
	}
	m.gauge.vigil, m.line.vigil = m.gauge.age(now), m.line.age(now)
	if m.gauge.Health == Failed {
		m.flow = currentVote{}
	}
	if fresh {
		m.ema = smooth(m.ema, m.gauge.volts(), now-before)
	}
	m.ac = m.vote(r, now)
	m.acFor.is(now, m.ac == ACYes)
	m.acNo.is(now, m.ac == ACNo)
	m.flap(s.Line, now)
}

// vote weighs the strong votes: the line and the current. Without any of them the
// voltage tells, when it has moved one way for five minutes.
func (m *Memory) vote(r Rules, now time.Duration) AC {
	var line, flow AC
	if r.Line && m.line.believed() {
		line = ACNo
		if m.line.Mains {
			line = ACYes
		}
	}
	if m.gauge.believed() {
		flow = m.flow.Says
	}
	clash := m.clash.is(now, line != ACUnknown && flow != ACUnknown && line != flow)
	switch {
	case m.clash.On && clash <= conflictMost:
		return m.ac // whom to believe shows within a minute
	case m.clash.On:
		return m.drifts(now)
	case line != ACUnknown:
		return line
	case flow != ACUnknown:
		return flow
	}
	return m.drifts(now)
}

// drifts infers the mains from the voltage.
func (m *Memory) drifts(now time.Duration) AC {
	if !m.gauge.believed() {
		return ACUnknown
	}
	switch m.track.drift(now, false) {
	case rising:
		return ACYes
	case falling:
		return ACNo
	}
	return ACUnknown
}

// alone reports whether nothing but the voltage speaks of the mains, since their
// sense has failed or the strong votes clash: charges may lie then, too.
func (m *Memory) alone(r Rules) bool {
	return r.Line && (!m.line.believed() || m.clash.On)
}

// charging reports evidence against a battery that runs out, whatever the line
// says: it has been filling for five minutes.
func (m *Memory) charging(now time.Duration) bool {
	if !m.gauge.believed() {
		return false
	}
	if g := m.gauge.Good; g.Rate != nil && *g.Rate > 0.005 {
		return true
	}
	return m.track.drift(now, true) == rising
}

// falls reports that voltage or charge have fallen for five minutes, and the other
// has not risen.
func (m *Memory) falls(now time.Duration) bool { return m.track.drift(now, true) == falling }

// second reports whether, besides the first strong vote, another one says that
// the battery feeds the node.
func (m *Memory) second(now time.Duration) bool {
	if !m.gauge.believed() {
		return false
	}
	if m.line.believed() && !m.line.Mains && m.flow.Says == ACNo {
		return true
	}
	if g := m.gauge.Good; g.Rate != nil && *g.Rate < -0.005 {
		return true
	}
	return m.falls(now)
}

// flap counts the edges of the mains as they are read.
func (m *Memory) flap(l Line, now time.Duration) {
	if !l.Tried || l.Err != "" || now-m.begun < settle {
		return
	}
	if m.known && l.Mains != m.edge {
		copy(m.edges[:], m.edges[1:])
		m.edges[flaps-1] = now
	}
	m.edge, m.known = l.Mains, true
}

// flapping reports whether the mains came and went six times in ten minutes.
func (m *Memory) flapping(now time.Duration) bool {
	return m.edges[0] > 0 && now-m.edges[0] < flapTime
}
