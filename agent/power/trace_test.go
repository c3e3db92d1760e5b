package power_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"primespark/agent/power"
	"primespark/agent/power/powertest"
)

// A world is a node with a battery, whose sensors lie in one way or another.
type world struct {
	*rand.Rand
	powertest.Battery
	rules  power.Rules
	memory power.Memory
	now    time.Duration
	mains  bool
	load   func() float64        // watts
	bend   func(s *power.Sample) // what the fault makes of a sample
	flows  bool                  // the gauge tells the current
	halted time.Duration         // since when the node is going down
	why    string
	modes  map[power.Mode]bool
	boots  int
	log    []string
}

func newWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 6))
	w := &world{
		Rand: r, rules: power.DefaultRules(), mains: true, flows: r.IntN(2) == 0, modes: map[power.Mode]bool{},
		Battery: powertest.Battery{Capacity: 5.5 + 9*r.Float64(), Ohms: 0.03 + 0.05*r.Float64(), Charge: 0.05 + 0.9*r.Float64(), Watts: 4 + 4*r.Float64()},
	}
	base, peak := 2.5+2*r.Float64(), 3+5*r.Float64()
	w.load = func() float64 {
		if int(w.now.Minutes())%7 < 2 {
			return base + peak*r.Float64() // an inference now and then
		}
		return base
	}
	w.boot(false)
	return w
}

func (w *world) boot(looping bool) {
	w.memory, w.halted = w.rules.Begin(w.now, looping), 0
	w.boots++
}

// sample is what sound sensors say.
func (w *world) sample() power.Sample {
	volts, amps := w.Flow(w.load(), w.mains, 1)
	volts = math.Round((volts+0.004*w.NormFloat64())/0.00125) * 0.00125
	charge := math.Round(w.Charge*256*100) / (256 * 100)
	s := power.Sample{
		Gauge: power.Gauge{Tried: !w.mains || int(w.now.Seconds())%5 == 0, Volts: min(volts, 4.3), Charge: &charge},
		Line:  power.Line{Tried: true, Mains: w.mains},
	}
	if w.flows {
		s.Gauge.Amps = &amps
	}
	return s
}

// pass lets time pass, until the node has halted or its battery is dead.
func (w *world) pass(d time.Duration) {
	for end := w.now + d; w.now < end; {
		w.now += time.Second
		s := w.sample()
		if w.bend != nil {
			w.bend(&s)
		}
		if w.halted > 0 {
			if w.now-w.halted > 40*time.Second || w.Dead {
				return
			}
		} else if w.Dead {
			return
		}
		var out []power.Action
		w.memory, out = w.rules.Step(w.memory, s, w.now)
		for _, a := range out {
			w.log = append(w.log, fmt.Sprintf("%8v charge %.3f mains %-5v %s %s %s: %s", w.now, w.Charge, w.mains, a.Kind, a.Mode, a.Alarm, a.Why))
			if a.Kind == power.Halt {
				w.halted, w.why = w.now, a.Why
			}
		}
		w.modes[w.memory.Mode] = true
	}
}

// untilDown lets the mains stay away until it is over.
func (w *world) untilDown() {
	w.mains = false
	w.pass(24 * time.Hour)
}

// A trace is a story that the forced suite tells a hundred times, each time with
// another battery, load and timing. calm is the part in which no node may go down,
// and the rest an outage that ends with a clean halt before the cut-off.
type trace struct {
	name string
	calm func(w *world)
	end  func(w *world)
}

var traces = []trace{
	{"line stuck at lost after mains returned", func(w *world) {
		w.Charge = 0.02 + 0.6*w.Float64()
		w.bend = func(s *power.Sample) { s.Line.Mains = false }
		for range 4 { // and whoever switches it on again does so in vain
			w.pass(time.Duration(15+w.IntN(45)) * time.Minute)
		}
	}, (*world).untilDown},
	{"line stuck at there while the mains are gone", func(w *world) {
		w.bend = func(s *power.Sample) { s.Line.Mains = true }
		w.pass(10 * time.Minute)
	}, (*world).untilDown},
	{"256 % and 0 V now and then", func(w *world) {
		w.bend = func(s *power.Sample) {
			switch high := 2.56; w.IntN(20) {
			case 0:
				s.Gauge.Charge, s.Gauge.Volts = &high, 0
			case 1:
				low := 0.0
				s.Gauge.Charge = &low // of a charge that is another one
			}
		}
		w.pass(30 * time.Minute)
		w.Charge, w.mains = max(w.Charge, 0.6), false
		w.pass(10 * time.Minute)
		w.mains = true
		w.pass(10 * time.Minute)
	}, (*world).untilDown},
	{"0 % at 3.25 V", func(w *world) {
		w.Charge = 0.03
		w.bend = func(s *power.Sample) {
			if s.Gauge.Volts <= 3.45 {
				zero := 0.0
				s.Gauge.Charge = &zero
			}
		}
		w.pass(time.Hour)
	}, (*world).untilDown},
	{"0 % whatever the voltage", func(w *world) {
		w.Charge = 0.6 + 0.3*w.Float64()
		w.bend = func(s *power.Sample) { zero := 0.0; s.Gauge.Charge = &zero }
		w.pass(10 * time.Minute)
		w.mains = false
		w.pass(10 * time.Minute) // a few percent of a battery that is not nearly empty
		w.mains = true
		w.pass(10 * time.Minute)
	}, (*world).untilDown},
	{"flapping supply", func(w *world) {
		w.Charge = 0.4 + 0.5*w.Float64()
		for range 150 {
			w.mains = !w.mains
			w.pass(time.Duration(1+w.IntN(12)) * time.Second)
		}
		w.mains = true
		w.pass(5 * time.Minute)
	}, func(w *world) {
		for w.halted == 0 && !w.Dead { // it flaps until the battery is empty, more off than on
			w.mains = !w.mains
			d := time.Duration(1+w.IntN(6)) * time.Second
			if !w.mains {
				d += 14 * time.Second
			}
			w.pass(d)
		}
		w.untilDown()
	}},
	{"both sensors dead for a while", func(w *world) {
		w.Charge = 0.5 + 0.4*w.Float64()
		dead := false
		w.bend = func(s *power.Sample) {
			if dead {
				s.Gauge, s.Line = power.Gauge{Tried: true, Err: "remote I/O error"}, power.Line{Tried: true, Err: "remote I/O error"}
			}
		}
		w.pass(time.Duration(w.IntN(300)) * time.Second)
		w.mains = w.IntN(2) == 0
		w.pass(30 * time.Second)
		dead = true
		w.pass(time.Duration(2+w.IntN(13)) * time.Minute)
		dead, w.mains = false, true
		w.pass(time.Minute)
	}, (*world).untilDown},
	{"clock that jumps and a host that sleeps", func(w *world) {
		w.Charge = 0.4 + 0.5*w.Float64()
		for range 8 {
			w.mains = w.IntN(3) > 0
			w.pass(time.Duration(5+w.IntN(100)) * time.Second)
			w.now += time.Duration(w.IntN(7200)) * time.Second // nobody looked meanwhile
		}
		w.mains = true
		w.pass(time.Minute)
	}, func(w *world) {
		w.mains = false
		for w.halted == 0 && !w.Dead {
			w.pass(time.Duration(3+w.IntN(10)) * time.Minute)
			if w.IntN(4) == 0 {
				w.now += time.Duration(11+w.IntN(600)) * time.Second // suspended: it takes nothing from the battery
			}
		}
	}},
}

// TestForcedTraces is the suite of the project's issue on power: no false shutdown
// and a clean halt before the cut-off, in a hundred of a hundred runs of each.
func TestForcedTraces(t *testing.T) {
	t.Parallel()
	for _, trace := range traces {
		t.Run(trace.name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(runs) {
				w := newWorld(seed)
				trace.calm(w)
				if w.halted > 0 {
					t.Errorf("run %d went down for nothing: %s\n%s", seed, w.why, w.tail())
					return
				}
				w.bendEnd()
				trace.end(w)
				if w.Dead || w.halted == 0 {
					t.Errorf("run %d was cut off: halted %v, capacity %.1f Wh, current known: %v\n%s", seed, w.halted, w.Capacity, w.flows, w.tail())
					return
				}
			}
		})
	}
}

func (w *world) bendEnd() {
	w.log = append(w.log, fmt.Sprintf("%8v the outage begins at charge %.3f", w.now, w.Charge))
}

// tail is the end of the story.
func (w *world) tail() (s string) {
	for _, l := range w.log[max(0, len(w.log)-14):] {
		s += l + "\n"
	}
	return s + fmt.Sprintf("at %v: charge %.3f, %.3f V, mode %s", w.now, w.Charge, w.memory.Volts(), w.memory.Mode)
}
