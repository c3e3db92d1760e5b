package power

// alarms raises and clears what an operator should see to.
func (t *turn) alarms() {
	m := &t.m
	gauge, line := m.Health()
	conflict := m.clash.On && t.now-m.clash.Since > conflictMost ||
		m.Mode.onBattery() && m.ac == ACNo && m.charging(t.now)
	fed := m.Mode == Mains || m.Mode == Recovering
	drains := fed && t.now-m.Since > trendOver && (t.unable() && m.falls(t.now) || m.alarmed(OverloadSupply) && m.track.drift(t.now, true) != rising)
	for i, holds := range [...]bool{ // in the order of Alarms
		t.r.Gauge && gauge == Failed,
		gauge != Failed && (m.charge.From == FromCurve && m.gauge.Good.Charge != nil || m.differ.On && t.now-m.differ.Since >= suspectAfter),
		t.r.Line && line == Failed,
		conflict,
		m.flapping(t.now),
		drains,
		m.looping,
		m.Mode == Unknown,
	} {
		alarm, bit := Alarms[i], uint(1)<<i
		switch had := m.alarms&bit != 0; {
		case holds && !had:
			m.alarms |= bit
			t.do(Action{Kind: Raise, Mode: m.Mode, Alarm: alarm, Why: alarm.sentence()})
		case !holds && had:
			m.alarms &^= bit
			t.do(Action{Kind: Clear, Mode: m.Mode, Alarm: alarm, Why: alarm.sentence()})
		}
	}
}

// words are what an alarm means, and what to do.
var words = map[Alarm][2]string{
	GaugeFailed:    {"The battery's gauge does not answer.", "See that the UPS board sits right and I²C is enabled; prime-spark-agent detect shows what answers."},
	GaugeSuspect:   {"The gauge's charge contradicts the battery's voltage.", "Charge the battery to the full once; if it stays, the cells are worn or battery.cells is wrong."},
	LineFailed:     {"The sense of the mains does not answer.", "See that the UPS board sits right; the battery's voltage tells of the mains meanwhile."},
	LineConflict:   {"The senses of the mains contradict each other.", "Pull the plug and see which one is right: prime-spark-agent detect; the line may be inverted or stuck."},
	WeakSupply:     {"The mains come and go.", "Use the supply that the UPS board's maker names, and a short cable."},
	OverloadSupply: {"The battery empties though the mains are there.", "Use a stronger supply, or give the node less to do."},
	BootLoop:       {"The node was shut down by its battery three times within two hours.", "See whether the mains and their sense are right: prime-spark-agent explain tells why each time."},
	Blind:          {"Nothing tells of the node's power.", "See that the UPS board sits right and I²C is enabled; prime-spark-agent detect shows what answers."},
}

func (a Alarm) sentence() string { return words[a][0] }

// Remedy is what to do about the alarm, in a sentence.
func (a Alarm) Remedy() string { return words[a][1] }
