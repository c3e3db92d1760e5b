package battery

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Volts is a voltage across one cell. A lithium cell is full at 4.2 and empty at
// about 3.0; below 2.5 it is being destroyed.
type Volts float64

// Charge is the state of charge, 0 to 1.
type Charge float64

// A Maybe is a value that is not always known. The zero value is not known.
type Maybe[T comparable] struct {
	Value T
	Known bool
}

// Known returns a value that is known.
func Known[T comparable](v T) Maybe[T] { return Maybe[T]{v, true} }

// Is reports whether the value is known to be v.
func (m Maybe[T]) Is(v T) bool { return m.Known && m.Value == v }

// Or returns the value, or other where it is not known.
func (m Maybe[T]) Or(other T) T {
	if m.Known {
		return m.Value
	}
	return other
}

// A Reading is what a gauge says at one moment. Most gauges know some of it only,
// and what a gauge does not tell stays not known: no charge is made up for it.
type Reading struct {
	Mains    Maybe[bool]    // by a register, or by the sign of the current
	Charge   Maybe[Charge]  // a gauge may report a little more than 1 while it charges
	Volts    Volts          // of the weakest cell that the gauge tells of, under load; 0 if not known
	Amps     Maybe[float64] // into the battery; below 0 while it discharges
	Load     float64        // watts that the node draws; 0 if not known
	Celsius  Maybe[float64] // of the battery or of its board
	Minutes  Maybe[float64] // until it is empty, as the gauge itself reckons; on battery only
	PerHour  Maybe[float64] // how the charge changes in an hour, 0.1 for 10 %; below 0 while it falls
	Shutdown bool           // the board asks for a shutdown, and cuts the power soon
}

// A Sample is what all sources say of the node's power at one moment. Gauge and
// Line fail apart from each other, and are judged apart. Values are as they were read: a
// driver refuses what its chip cannot mean, but a charge that jumps, sticks or lies
// is for the one who decides by it to notice.
type Sample struct {
	At       time.Time // with the monotonic clock
	Gauge    Reading
	GaugeErr error       // why there is no reading; Gauge is zero then
	Line     Maybe[bool] // mains, by a line of its own; not known where the board has none
	LineErr  error       // why the line could not be read
	Supply   Supply      // of the Pi's own 5 V, the second witness
}

// Mains is whether the mains feed the node: by the line that is there for it, else by
// what the gauge knows.
func (s Sample) Mains() Maybe[bool] {
	if s.Line.Known {
		return s.Line
	}
	return s.Gauge.Mains
}

// A Supply is what the Pi's power chip measures of its input.
type Supply struct {
	Volts float64 // at the 5 V input; 0 if not known. 4.9 is good, at 4.63 the firmware warns
	Watts float64 // that the Pi draws, reckoned from its rails; 0 if not known
}

// ErrImplausible marks a reading that no battery gives, as a bus does that is
// disturbed.
var ErrImplausible = errors.New("implausible reading")

// Check refuses what cannot be: gauges report up to 110 % while they charge, and
// all ones or zeros when nothing answers.
func (r Reading) Check() error {
	within := func(m Maybe[float64], least, most float64) bool {
		return !m.Known || m.Value >= least && m.Value <= most // false for what is no number
	}
	charge := float64(r.Charge.Value)
	if !within(Maybe[float64]{charge, r.Charge.Known}, 0, 1.1) || !(r.Volts == 0 || r.Volts >= 2.5 && r.Volts <= 4.35) || !(r.Load >= 0 && r.Load < 1000) {
		return fmt.Errorf("%w: charge %.3f, %.3f V a cell, %.1f W", ErrImplausible, charge, r.Volts, r.Load)
	}
	if !within(r.Amps, -100, 100) || !within(r.Celsius, -40, 125) || !within(r.Minutes, 0, math.MaxUint32) || !within(r.PerHour, -100, 100) {
		return fmt.Errorf("%w: %.3f A, %.1f °C, %.1f minutes left, %.3f an hour", ErrImplausible, r.Amps.Value, r.Celsius.Value, r.Minutes.Value, r.PerHour.Value)
	}
	return nil
}

// A Reader is a gauge, or what stands for one. Read returns within a second or
// so, or when ctx ends.
type Reader interface {
	Read(ctx context.Context) (Reading, error)
}

// A Line senses the mains by itself, apart from the gauge. Its errors are real: a line
// that cannot be read never means that the mains are lost.
type Line interface {
	Present(ctx context.Context) (bool, error)
}
