package power

import (
	"cmp"
	"fmt"
	"time"
)

// Step takes one sample, at a time of a clock that never jumps, and returns what is
// known from now on and what follows. It is pure, and wants to be called about
// once a second.
func (r Rules) Step(m Memory, s Sample, now time.Duration) (Memory, []Action) {
	if now < m.now {
		now = m.now // no such clock; nothing shall come of it
	}
	if now-m.now > gap {
		m.later(now)
	}
	m.look(r, s, now)
	m.estimate(r, now)
	t := turn{r: r, m: m, s: s, now: now}
	t.alarms()
	t.mode()
	t.m.now = now
	return t.m, t.out
}

// A turn is one step under way.
type turn struct {
	r   Rules
	m   Memory
	s   Sample
	now time.Duration
	by  string // who halts it, if that is not the battery
	out []Action
}

func (t *turn) do(a Action) { t.out = append(t.out, a) }

func (t *turn) enter(mode Mode, why string, args ...any) {
	if t.m.Mode == mode {
		return
	}
	m := &t.m
	if m.counting {
		m.counting = false
		if mode != ShuttingDown && mode != Emergency {
			t.do(Action{Kind: Cancel, Mode: mode, Why: fmt.Sprintf(why, args...)})
		}
	}
	m.Mode, m.Since, m.Why = mode, t.now, fmt.Sprintf(why, args...)
	m.low, m.critical, m.well = held{}, held{}, held{}
	t.do(Action{Kind: Enter, Mode: mode, Why: m.Why})
}

// halt goes down for good. what is forced waits for nobody.
func (t *turn) halt(force bool, why string, args ...any) {
	t.enter(ShuttingDown, why, args...)
	t.do(Action{Kind: Halt, Mode: ShuttingDown, Why: t.m.Why, Force: force, By: cmp.Or(t.by, ByBattery)})
}

// mode moves to another mode, if there is reason to.
func (t *turn) mode() {
	m := &t.m
	if m.Mode == ShuttingDown {
		t.down()
		return
	}
	if t.ordered() || t.emergency() || t.overload() || t.dark() {
		return
	}
	back := m.acFor.On && t.now-m.acFor.Since >= t.r.Back
	lost := m.acNo.On && t.now-m.acNo.Since >= t.r.Lost
	switch m.Mode {
	case Starting:
		t.starting()
	case Unknown:
		switch {
		case m.ac == ACYes:
			t.mains("The sensors answer again.")
		case lost:
			t.enter(OnBattery, "The sensors answer again, and the mains are lost.")
		}
	case Mains, Recovering:
		switch {
		case lost:
			t.enter(OnBattery, "The mains are lost.")
		case m.Mode == Mains && t.worn() && m.low.is(t.now, true) >= t.r.Dwell:
			t.enter(Recovering, "On mains, and the battery is at %s.", t.level())
		case m.Mode == Recovering && t.able():
			t.enter(Mains, "The battery is at %s again.", t.level())
		}
		if m.Mode == Mains && !t.worn() {
			m.low = held{}
		}
	case OnBattery:
		if back {
			t.mains("The mains are back.")
			return
		}
		t.sink()
	case Low:
		if back {
			t.mains("The mains are back.")
			return
		}
		t.sink()
		t.rise()
	case Critical:
		if m.acFor.On && t.now-m.acFor.Since >= cancelAfter {
			t.enter(Recovering, "The mains came back before the shutdown.")
			return
		}
		t.countdown()
		t.rise()
	}
}

// starting waits for the first healthy reading; a mains pin that floats says
// "lost" for some seconds, so that is not believed before the time is over.
func (t *turn) starting() {
	m := &t.m
	over := t.now-m.begun >= settle
	gauge, line := m.Health()
	switch {
	case m.ac == ACYes:
		t.mains("On mains.")
	case over && m.ac == ACNo:
		t.enter(OnBattery, "The node has started on battery.")
	case over && gauge != Healthy && line != Healthy:
		m.kept = Starting
		t.enter(Unknown, "Neither the gauge nor the sense of the mains answers.")
	case over && t.now-m.begun >= blindAfter: // a gauge alone, which shows no movement yet
		t.enter(Unknown, "Nothing tells yet whether the mains are there.")
	}
}

// mains enters the mode of a node on mains that the battery's charge calls for.
func (t *turn) mains(why string) {
	if t.unable() {
		t.enter(Recovering, "%s The battery is at %s.", why, t.level())
		return
	}
	t.enter(Mains, "%s", why)
}

// unable reports whether the battery could not bridge another outage; able whether
// it surely can, and worn whether it has sunk on mains. With a charge that nobody
// knows the voltage tells.
func (t *turn) unable() bool {
	c, v := t.m.charge, t.m.Volts()
	return c.Value >= 0 && c.Value < t.r.needed() || v > 0 && v < t.r.LowVolts
}

func (t *turn) able() bool {
	c, v := t.m.charge, t.m.Volts()
	return c.Value >= t.r.needed() && (v == 0 || v >= t.r.LowVolts) || c.Value < 0 && v == 0
}

func (t *turn) worn() bool {
	c := t.m.charge.Value
	return c >= 0 && c <= t.r.LowCharge && t.m.gauge.believed()
}

// level is charge and voltage in words.
func (t *turn) level() string {
	switch c, v := t.m.charge.Value, t.m.Volts(); {
	case c >= 0 && v > 0:
		return fmt.Sprintf("%.0f %% and %.2f V a cell", 100*c, v)
	case c >= 0:
		return fmt.Sprintf("%.0f %%", 100*c)
	case v > 0:
		return fmt.Sprintf("%.2f V a cell", v)
	}
	return "a charge that nobody knows"
}

// ordered does what somebody else wishes.
func (t *turn) ordered() bool {
	m := &t.m
	lasts := m.order.is(t.now, t.s.Order == SiteOrder)
	switch {
	case t.s.Order == OperatorOrder:
		t.by = ByOperator
		t.halt(false, "An operator shuts the node down.")
	case lasts >= t.r.Dwell && m.Mode.onBattery() && m.acNo.On && t.now >= m.grace && !m.charging(t.now):
		t.by = BySite
		t.halt(false, "The whole site is on battery, and it is this node's turn to go down.")
	default:
		return false
	}
	return true
}

// emergency goes down at once: the cells are nearly dead, or the board says that it
// will cut the power.
func (t *turn) emergency() bool {
	m, limit := &t.m, t.r.EmergencyVolts
	if t.now < m.grace {
		limit = t.r.FloorVolts
	} else if m.gauge.Asks >= 2 {
		t.enter(Emergency, "The UPS board asks for a shutdown, and will cut the power.")
		t.halt(true, "The UPS board asked for a shutdown.")
		return true
	}
	fed := m.Mode.onBattery() && m.ac != ACYes
	// While nothing but the voltage tells of the mains, it has to fall.
	if m.ac == ACUnknown && m.track.drift(t.now, false) != falling {
		fed = false
	}
	if m.looping && limit > t.r.FloorVolts && !m.second(t.now) {
		limit = t.r.FloorVolts
	}
	loom := fed && m.gauge.believed() && m.Volts() > 0 && m.Volts() <= limit
	lasts := m.emergency.is(t.now, loom)
	switch {
	case !loom:
		m.goods = 0
	case m.gauge.At == t.now:
		m.goods++
	}
	if lasts < emergencyFor || m.goods < emergencyN {
		return false
	}
	t.enter(Emergency, "The cells are down to %.2f V under load, and below %.2f V they take harm.", m.Volts(), limit)
	t.halt(true, "The cells were down to %.2f V.", m.Volts())
	return true
}

// overload goes down on mains that do not carry the load, or whose sense lies: an
// empty battery that goes on falling for five minutes is feeding the node.
func (t *turn) overload() bool {
	m := &t.m
	v := m.Volts()
	holds := (m.Mode == Mains || m.Mode == Recovering) && m.gauge.Health == Healthy && v > 0 && v <= t.r.OverloadVolts &&
		t.now >= m.grace && t.now-m.Since >= trendOver && m.falls(t.now)
	lasts := m.overload.is(t.now, holds)
	if t.r.OverloadVolts == 0 || lasts < overloadFor {
		return false
	}
	t.halt(true, "The cells are down to %.2f V and go on falling, though the mains count as there: the supply does not carry the load.", v)
	return true
}

// dark notices that nothing answers any more. It never shuts down.
func (t *turn) dark() bool {
	m := &t.m
	gauge, line := m.Health()
	none := (gauge == Failed || !t.r.Gauge) && (line == Failed || !t.r.Line)
	if m.blind.is(t.now, none) < blindAfter || m.Mode == Starting || m.Mode == Unknown {
		return false
	}
	m.kept = m.Mode
	t.enter(Unknown, "Neither the gauge nor the sense of the mains has answered for a minute.")
	return true
}

// down is the way out, which nothing stops. When the mains return on it, a board
// that would not switch the node on again needs a boot instead of an end.
func (t *turn) down() {
	m := &t.m
	if !m.restart && !t.r.Cycles && m.acFor.On && m.acFor.Since > m.Since && t.now-m.acFor.Since >= cancelAfter {
		m.restart = true
		t.do(Action{Kind: Restart, Mode: ShuttingDown, Why: "The mains came back while the node went down."})
	}
}
