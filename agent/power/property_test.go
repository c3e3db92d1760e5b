package power_test

import (
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"primespark/agent/power"
)

// A witness follows what the sensors really said, and holds the machine to its
// promises.
type witness struct {
	fed    time.Duration // of mains that the line tells without a fault
	empty  time.Duration // of a line that says lost and cells at the floor, without a fault
	lost   int           // good readings of the line or the current that said battery, in all
	asked  int
	halted bool
	now    time.Duration
}

const maxFed = 30 * time.Second // until mains that are back count in every mode

func (w *witness) see(t *rapid.T, m power.Memory, s power.Sample, d time.Duration, out []power.Action) {
	w.now += d
	steady := d <= 2*time.Second
	good := s.Gauge.Tried && s.Gauge.Err == "" && s.Gauge.Volts >= 2.5 && s.Gauge.Volts <= 4.35
	count := func(total *time.Duration, holds bool) {
		if *total += d; !holds || !steady {
			*total = 0
		}
	}
	count(&w.fed, s.Line.Tried && s.Line.Err == "" && s.Line.Mains && good && s.Gauge.Volts > 3.15 && (s.Gauge.Amps == nil || *s.Gauge.Amps > 0))
	count(&w.empty, s.Line.Tried && s.Line.Err == "" && !s.Line.Mains && good && s.Gauge.Volts < 3.05 && s.Gauge.Amps == nil)
	if s.Line.Tried && s.Line.Err == "" && !s.Line.Mains || s.Gauge.Amps != nil && *s.Gauge.Amps < 0 || good && s.Gauge.Volts <= 3.40 {
		w.lost++
	}
	if s.Gauge.Request {
		w.asked++
	}
	for _, a := range out {
		if a.Kind != power.Halt {
			continue
		}
		switch {
		case w.halted:
			t.Fatalf("halted twice: %s", a.Why)
		case s.Order == power.OperatorOrder:
		case w.asked >= 2:
		case s.Order == power.SiteOrder && w.lost >= 3:
		case w.fed >= maxFed:
			t.Fatalf("went down after %v on mains: %s", w.fed, a.Why)
		case w.lost < 5:
			t.Fatalf("went down after %d readings that say battery: %s", w.lost, a.Why)
		}
		w.halted = true
	}
	if w.halted != (m.Mode == power.ShuttingDown) {
		t.Fatalf("halted %v and mode %s", w.halted, m.Mode)
	}
	if w.empty >= 30*time.Second && !w.halted { // 20 s after a start, 3 s until it is lost, and 10 s
		if w.now >= 45*time.Second {
			t.Fatalf("at %v still up after %v on battery with cells at the floor: mode %s, %s", w.now, w.empty, m.Mode, m.Why)
		}
	}
}

// drive lets a node go through random legs; each sample repeats for a while, with
// small changes, since sensors that say something else each second are believed
// nothing.
func drive(t *rapid.T) {
	rules := power.DefaultRules()
	rules.Cycles = rapid.Bool().Draw(t, "cycles")
	m := rules.Begin(0, rapid.Bool().Draw(t, "looping"))
	var w witness
	var now time.Duration
	for range rapid.IntRange(1, 8).Draw(t, "legs") {
		s := sampleOf(t)
		drift := rapid.Float64Range(-0.01, 0.01).Draw(t, "drift")
		every := time.Duration(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 11}).Draw(t, "every")) * time.Second
		for tick := range rapid.IntRange(1, 200).Draw(t, "ticks") {
			now += every
			before := m
			var out []power.Action
			m, out = rules.Step(m, s, now)
			if tick%50 == 0 {
				if again, same := rules.Step(before, s, now); !reflect.DeepEqual(again, m) || !reflect.DeepEqual(same, out) {
					t.Fatal("the same step twice came to something else")
				}
			}
			w.see(t, m, s, every, out)
			s.Order = power.NoOrder
			if s.Gauge.Volts > 0 {
				s.Gauge.Volts += drift
			}
			if c := m.Charge(); c.Value > 1 || c.Value < -1 || c.Minutes > 24*60 {
				t.Fatalf("charge %+v", c)
			}
		}
	}
}

func sampleOf(t *rapid.T) power.Sample {
	var s power.Sample
	s.Gauge.Tried = rapid.IntRange(0, 9).Draw(t, "tried") > 0
	switch rapid.IntRange(0, 7).Draw(t, "gauge") {
	case 0:
		s.Gauge.Err = "remote I/O error"
	case 1:
		s.Gauge.Volts = rapid.Float64().Draw(t, "nonsense")
	default:
		s.Gauge.Volts = rapid.Float64Range(2.9, 4.2).Draw(t, "volts")
	}
	if rapid.IntRange(0, 3).Draw(t, "charged") > 0 {
		c := rapid.Float64Range(-0.1, 1.2).Draw(t, "charge")
		s.Gauge.Charge = &c
	}
	if rapid.IntRange(0, 2).Draw(t, "flows") == 0 {
		a := rapid.Float64Range(-3, 3).Draw(t, "amps")
		s.Gauge.Amps = &a
	}
	s.Gauge.Request = rapid.IntRange(0, 30).Draw(t, "request") == 0
	s.Line.Tried = rapid.IntRange(0, 9).Draw(t, "line") > 0
	s.Line.Mains = rapid.Bool().Draw(t, "mains")
	if rapid.IntRange(0, 5).Draw(t, "broken") == 0 {
		s.Line.Err = "no such device"
	}
	s.Order = rapid.SampledFrom([]power.Order{power.NoOrder, power.NoOrder, power.NoOrder, power.SiteOrder, power.NoOrder, power.OperatorOrder}).Draw(t, "order")
	return s
}

// TestPromises holds the machine to what the package promises, whatever the sensors
// say: no shutdown on mains or by a fault alone, one in time at the floor, for
// good, and the same for the same.
func TestPromises(t *testing.T) { rapid.Check(t, drive) }

func FuzzStep(f *testing.F) { f.Fuzz(rapid.MakeFuzz(drive)) }
