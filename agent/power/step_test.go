package power_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"primespark/agent/power"
)

// A leg is a while in which the sensors say the same, or drift evenly.
type leg struct {
	d      time.Duration
	line   string  // "on", "off", "fail", or "" for none
	charge float64 // at the end; negative: not known
	volts  float64 // at the end; 0: the gauge fails
	amps   float64 // 0: not known
	ask    bool
	order  power.Order
}

// A ride is a node that goes through legs.
type ride struct {
	rules  power.Rules
	memory power.Memory
	now    time.Duration
	charge float64
	volts  float64
	said   []string // what happened, with the time
}

func newRide(rules power.Rules, looping bool) *ride {
	return &ride{rules: rules, memory: rules.Begin(0, looping)}
}

func (r *ride) go_(legs ...leg) {
	for _, l := range legs {
		begin, charge, volts := r.now, r.charge, r.volts
		if volts == 0 || l.volts == 0 {
			volts = l.volts
		}
		if charge == 0 {
			charge = l.charge
		}
		for r.now < begin+l.d {
			r.now += time.Second
			part := float64(r.now-begin) / float64(l.d)
			r.charge, r.volts = charge+part*(l.charge-charge), volts+part*(l.volts-volts)
			r.step(l)
		}
	}
}

func (r *ride) step(l leg) {
	s := power.Sample{Gauge: power.Gauge{Tried: true, Volts: r.volts, Request: l.ask}, Order: l.order}
	if c := r.charge; l.charge >= 0 {
		s.Gauge.Charge = &c
	}
	if l.amps != 0 {
		s.Gauge.Amps = &l.amps
	}
	if l.volts == 0 {
		s.Gauge = power.Gauge{Tried: true, Err: "remote I/O error"}
	}
	switch l.line {
	case "on", "off":
		s.Line = power.Line{Tried: true, Mains: l.line == "on"}
	case "fail":
		s.Line = power.Line{Tried: true, Err: "no such device"}
	}
	var out []power.Action
	r.memory, out = r.rules.Step(r.memory, s, r.now)
	for _, a := range out {
		word := string(a.Kind)
		switch a.Kind {
		case power.Enter:
			word = string(a.Mode)
		case power.Raise, power.Clear:
			word += " " + string(a.Alarm)
		case power.Halt:
			if a.Force {
				word = "halt!"
			}
		}
		r.said = append(r.said, fmt.Sprintf("%v %s", r.now, word))
	}
}

// The legs that stories begin with: ten minutes on mains at 90 %.
var settled = leg{d: 10 * time.Minute, line: "on", charge: 0.9, volts: 4.05}

func TestStep(t *testing.T) {
	const min = time.Minute
	const sec = time.Second
	for name, test := range map[string]struct {
		rules   func(*power.Rules)
		looping bool
		legs    []leg
		want    string // what happened, in order
	}{
		"mains": {legs: []leg{settled}, want: "1s mains"},
		"lost for two seconds": {
			legs: []leg{settled, {d: 2 * sec, line: "off", charge: .9, volts: 4}, {d: min, line: "on", charge: .9, volts: 4.05}}, want: "1s mains",
		},
		"lost and back": {
			legs: []leg{settled, {d: 30 * sec, line: "off", charge: .9, volts: 4}, {d: min, line: "on", charge: .9, volts: 4.05}},
			want: "1s mains, 10m4s on_battery, 10m41s mains",
		},
		"back for nine seconds does not count": {
			legs: []leg{settled, {d: 30 * sec, line: "off", charge: .9, volts: 4}, {d: 9 * sec, line: "on", charge: .9, volts: 4.05}, {d: 10 * sec, line: "off", charge: .9, volts: 4}},
			want: "1s mains, 10m4s on_battery",
		},
		"a pin that floats at the start": {
			legs: []leg{{d: 15 * sec, line: "off", charge: .9, volts: 4.05}, {d: min, line: "on", charge: .9, volts: 4.05}}, want: "16s mains",
		},
		"started on battery": {legs: []leg{{d: min, line: "off", charge: .9, volts: 4.05}}, want: "20s on_battery"},
		"started on mains with an empty battery": {
			legs: []leg{{d: 2 * min, line: "on", charge: .01, volts: 3.25}, {d: 30 * min, line: "on", charge: .32, volts: 3.70}},
			want: "1s recovering, 30m4s mains",
		},
		"low by charge": {
			legs: []leg{settled, {d: 60 * min, line: "off", charge: .3, volts: 3.7}, {d: 10 * min, line: "off", charge: .22, volts: 3.62}},
			want: "1s mains, 10m4s on_battery, 56m28s raise gauge_suspect, 1h16m45s low",
		},
		"low by voltage": {
			legs: []leg{settled, {d: 60 * min, line: "off", charge: .8, volts: 3.6}, {d: 10 * min, line: "off", charge: .79, volts: 3.5}},
			want: "1s mains, 10m4s on_battery, 1h15m31s low, 1h17m30s raise gauge_suspect",
		},
		"low after all": {
			legs: []leg{
				settled,
				{d: 60 * min, line: "off", charge: .8, volts: 3.6},
				{d: 2 * min, line: "off", charge: .79, volts: 3.5},
				{d: 4 * min, line: "off", charge: .78, volts: 3.7},
				{d: 4 * min, line: "off", charge: .77, volts: 3.7},
			},
			want: "1s mains, 10m4s on_battery, 1h11m31s low, 1h17m1s on_battery",
		},
		"down to the halt": {
			legs: []leg{settled, {d: 200 * min, line: "off", charge: .07, volts: 3.45}},
			want: "1s mains, 10m4s on_battery, 2h47m8s low, 3h23m17s critical, 3h23m17s count, 3h24m17s shutting_down, 3h24m17s halt",
		},
		"mains in the countdown": {
			legs: []leg{settled, {d: 193*min + 30*sec, line: "off", charge: .0969, volts: 3.45}, {d: 10 * sec, line: "on", charge: .097, volts: 3.6}},
			want: "1s mains, 10m4s on_battery, 2h47m7s low, 3h23m16s critical, 3h23m16s count, 3h23m36s cancel, 3h23m36s recovering",
		},
		"cells that die at once": {
			legs: []leg{settled, {d: 60 * min, line: "off", charge: .5, volts: 3.6}, {d: 10 * sec, line: "off", charge: .5, volts: 3.15}, {d: 20 * sec, line: "off", charge: .5, volts: 3.15}},
			want: "1s mains, 10m4s on_battery, 1h10m4s raise gauge_suspect, 1h10m20s emergency, 1h10m20s shutting_down, 1h10m20s halt!",
		},
		"the board asks once": {
			legs: []leg{settled, {d: sec, line: "on", charge: .9, volts: 4.05, ask: true}, {d: min, line: "on", charge: .9, volts: 4.05}}, want: "1s mains",
		},
		"the board asks twice": {
			legs: []leg{settled, {d: 2 * sec, line: "on", charge: .9, volts: 4.05, ask: true}},
			want: "1s mains, 10m2s emergency, 10m2s shutting_down, 10m2s halt!",
		},
		"an operator": {
			legs: []leg{settled, {d: sec, line: "on", charge: .9, volts: 4.05, order: power.OperatorOrder}}, want: "1s mains, 10m1s shutting_down, 10m1s halt",
		},
		"the site, on mains": {
			legs: []leg{settled, {d: min, line: "on", charge: .9, volts: 4.05, order: power.SiteOrder}}, want: "1s mains",
		},
		"the site, on battery": {
			legs: []leg{settled, {d: 6 * min, line: "off", charge: .85, volts: 3.95}, {d: 40 * sec, line: "off", charge: .85, volts: 3.95, order: power.SiteOrder}},
			want: "1s mains, 10m4s on_battery, 16m31s shutting_down, 16m31s halt",
		},
		"the site, for a moment": {
			legs: []leg{settled, {d: 6 * min, line: "off", charge: .85, volts: 3.95}, {d: 20 * sec, line: "off", charge: .85, volts: 3.95, order: power.SiteOrder}},
			want: "1s mains, 10m4s on_battery",
		},
		"latched, and booted anew": {
			legs: []leg{settled, {d: sec, line: "off", charge: .9, volts: 4, order: power.OperatorOrder}, {d: min, line: "on", charge: .9, volts: 4}},
			want: "1s mains, 10m1s shutting_down, 10m1s halt, 10m7s restart",
		},
		"latched, with a board that switches on by itself": {
			rules: func(r *power.Rules) { r.Cycles = true },
			legs:  []leg{settled, {d: sec, line: "off", charge: .9, volts: 4, order: power.OperatorOrder}, {d: min, line: "on", charge: .9, volts: 4}},
			want:  "1s mains, 10m1s shutting_down, 10m1s halt",
		},
		"gauge dead on mains": {
			legs: []leg{settled, {d: 2 * time.Hour, line: "on"}}, want: "1s mains, 10m5s raise gauge_failed",
		},
		"gauge dead on battery": { // 8 W out of nobody knows how much: half an hour more or less
			legs: []leg{settled, {d: 10 * min, line: "off", charge: .8, volts: 3.95}, {d: 3 * time.Hour, line: "off"}},
			want: "1s mains, 10m4s on_battery, 20m5s raise gauge_failed, 20m5s low, 1h16m5s critical, 1h16m5s count, 1h17m5s shutting_down, 1h17m5s halt",
		},
		"gauge that never said anything": {
			legs: []leg{{d: 10 * min, line: "on"}, {d: 20 * min, line: "off"}},
			want: "1s mains, 5s raise gauge_failed, 10m4s on_battery, 10m5s low, 25m1s critical, 25m1s count, 26m1s shutting_down, 26m1s halt",
		},
		"gauge that never said anything, for ever": {
			rules: func(r *power.Rules) { r.BlindMost = 0 },
			legs:  []leg{{d: 10 * min, line: "on"}, {d: 10 * time.Hour, line: "off"}},
			want:  "1s mains, 5s raise gauge_failed, 10m4s on_battery, 10m5s low",
		},
		"line dead, voltage falls": {
			legs: []leg{settled, {d: 2 * time.Hour, line: "fail", charge: .2, volts: 3.42}, {d: 20 * min, line: "fail", charge: .1, volts: 3.32}},
			want: "1s mains, 10m5s raise ac_sense_failed, 11m25s on_battery, 1h45m46s low, 2h14m31s critical, 2h14m31s count, 2h15m31s shutting_down, 2h15m31s halt",
		},
		"line dead, current tells": {
			legs: []leg{
				{d: 10 * min, line: "on", charge: .9, volts: 4.05, amps: .5},
				{d: min, line: "fail", charge: .9, volts: 4.05, amps: .5},
				{d: 10 * sec, line: "fail", charge: .9, volts: 4, amps: -1},
			},
			want: "1s mains, 10m5s raise ac_sense_failed, 11m6s on_battery",
		},
		"both dead": {
			legs: []leg{settled, {d: 20 * min, line: "off", charge: .5, volts: 3.7}, {d: 10 * time.Hour, line: "fail"}},
			want: "1s mains, 10m4s on_battery, 30m5s raise gauge_failed, 30m5s raise ac_sense_failed, 30m5s low, 31m5s unknown, 31m6s raise power_unknown",
		},
		"both dead from the start": {
			legs: []leg{{d: 10 * time.Hour, line: "fail"}},
			want: "5s raise gauge_failed, 5s raise ac_sense_failed, 20s unknown, 21s raise power_unknown",
		},
		"strong votes clash": {
			legs: []leg{{d: 10 * min, line: "on", charge: .9, volts: 4.05, amps: .5}, {d: 5 * min, line: "off", charge: .9, volts: 4.05, amps: .5}},
			want: "1s mains, 11m2s raise ac_sense_conflict",
		},
		"in the grace": {
			legs: []leg{{d: 30 * sec, line: "off", charge: .05, volts: 3.3}, {d: 75 * sec, line: "off", charge: .04, volts: 3.15}, {d: 30 * sec, line: "off", charge: .04, volts: 3.15}},
			want: "20s on_battery, 51s critical, 51s count, 2m10s emergency, 2m10s shutting_down, 2m10s halt!",
		},
		"in the grace, at the floor": {
			legs: []leg{{d: 30 * sec, line: "off", charge: .05, volts: 3.08}, {d: min, line: "off", charge: .04, volts: 3.06}},
			want: "20s on_battery, 31s emergency, 31s shutting_down, 31s halt!",
		},
		"in a boot loop, with a pin alone": {
			looping: true,
			legs:    []leg{{d: 30 * min, line: "off", charge: .05, volts: 3.3}},
			want:    "1s raise boot_loop, 20s on_battery, 51s critical, 51s count",
		},
		"in a boot loop, with a second witness": {
			looping: true,
			legs:    []leg{{d: 30 * min, line: "off", charge: .05, volts: 3.3, amps: -1}},
			want:    "1s raise boot_loop, 20s on_battery, 51s critical, 51s count, 10m0s shutting_down, 10m0s halt",
		},
		"in a boot loop, at the floor": {
			looping: true,
			legs:    []leg{{d: 2 * min, line: "off", charge: .05, volts: 3.08}},
			want:    "1s raise boot_loop, 20s on_battery, 31s emergency, 31s shutting_down, 31s halt!",
		},
		"a full battery, a charge of nothing": {
			legs: []leg{settled, {d: sec, line: "on", charge: 0, volts: 4.05}, {d: min, line: "on", charge: 0, volts: 4.05}, {d: 8 * min, line: "off", charge: 0, volts: 4}},
			want: "1s mains, 10m35s recovering, 11m2s raise gauge_suspect, 11m2s mains, 11m5s on_battery",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rules := power.DefaultRules()
			if test.rules != nil {
				test.rules(&rules)
			}
			r := newRide(rules, test.looping)
			r.go_(test.legs...)
			if got := strings.Join(r.said, ", "); got != test.want {
				t.Errorf("got  %s\nwant %s\nnow %s because %s", got, test.want, r.memory.Mode, r.memory.Why)
			}
		})
	}
}

// TestFlapping wants the supply called weak after six edges in ten minutes, and the
// alarm gone ten minutes after the last.
func TestFlapping(t *testing.T) {
	r := newRide(power.DefaultRules(), false)
	r.go_(settled)
	for range 3 {
		r.go_(leg{d: 2 * time.Second, line: "off", charge: .9, volts: 4}, leg{d: 20 * time.Second, line: "on", charge: .9, volts: 4.05})
	}
	if !slices.Equal(r.memory.Alarmed(), []power.Alarm{power.WeakSupply}) || r.memory.Mode != power.Mains {
		t.Errorf("after three blinks: %v, mode %s", r.memory.Alarmed(), r.memory.Mode)
	}
	r.go_(leg{d: 11 * time.Minute, line: "on", charge: .9, volts: 4.05})
	if len(r.memory.Alarmed()) > 0 {
		t.Errorf("ten minutes later: %v", r.memory.Alarmed())
	}
}

// TestMinutesLeft wants them after three minutes on battery, none on mains, and by
// the best witness there is.
func TestMinutesLeft(t *testing.T) {
	rules := power.DefaultRules()
	r := newRide(rules, false)
	r.go_(settled, leg{d: 2 * time.Minute, line: "off", charge: .88, volts: 4.0})
	if m := r.memory.Charge().Minutes; m >= 0 {
		t.Errorf("%v minutes left after two on battery, want nobody to know", m)
	}
	r.go_(leg{d: 8 * time.Minute, line: "off", charge: .80, volts: 3.9})
	if m := r.memory.Charge().Minutes; m < 75 || m > 85 {
		t.Errorf("%v minutes left at 80 %% and 1 %% a minute, want about 80", m)
	}
	rules.Capacity = 6 // Ah
	r.rules = rules
	r.go_(leg{d: 5 * time.Minute, line: "off", charge: .75, volts: 3.9, amps: -2})
	if m := r.memory.Charge().Minutes; m < 130 || m > 140 {
		t.Errorf("%v minutes left of 4.5 Ah at 2 A, want 135", m)
	}
	r.go_(leg{d: 20 * time.Second, line: "on", charge: .75, volts: 4, amps: 1})
	if m := r.memory.Charge().Minutes; m >= 0 {
		t.Errorf("%v minutes left on mains", m)
	}
}
