// Package telemetry is what a node measures: samples in streams, and how they
// travel.
//
// A sample is known by its node, boot, stream and sequence. Within a stream the
// sequence counts from 1 without a gap, so a receiver sees what it has missed,
// and what it has got twice.
package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"primespark/shared/fleet"
)

// A Stream names one kind of samples of a node. fleet.ValidName holds of it.
type Stream string

// The streams. Samples of all of them look as Value says.
const (
	Battery     Stream = "battery"     // fields: state_of_charge 0 to 1, volts of a cell, load_watts, current_amps (into it), temperature_celsius, left_minutes
	Power       Stream = "power"       // fields: mains 0 or 1, supply_volts, board_watts
	CPU         Stream = "cpu"         // fields: used 0 to 1 of all cores, load_1m
	Memory      Stream = "memory"      // fields: used 0 to 1, used_bytes, total_bytes, swap_used_bytes
	Disk        Stream = "disk"        // fields: used 0 to 1, free_bytes, total_bytes, read_ and write_bytes_per_second
	Network     Stream = "network"     // fields: received_ and sent_bytes_per_second, errors_per_second
	Temperature Stream = "temperature" // a number, °C, of the processor
	Cooling     Stream = "cooling"     // fields: fan_rpm, fan_duty 0 to 1, nvme_celsius, io_celsius of a Pi 5's I/O chip
	Throttle    Stream = "throttle"    // fields: the firmware's flags, 0 or 1
	Inference   Stream = "inference"   // fields: in_flight, queue, latency_seconds of the slowest model
	Hailo       Stream = "hailo"       // fields: temperature_celsius, power_watts, frames_per_second, used (of the compiler's estimate), utilization (of the time)
	Mesh        Stream = "mesh"        // fields: rtt_seconds, loss 0 to 1
)

// Valid reports whether s can name a stream.
func (s Stream) Valid() bool { return fleet.ValidName(string(s)) }

// A Value is one number with its unit, or several with names that tell theirs.
// Make it by Number or Fields; it is never changed.
type Value struct {
	number float64
	unit   string
	fields map[string]float64
}

// Number is a value of one number. The unit is as people write it: "°C".
func Number(x float64, unit string) Value { return Value{number: x, unit: unit} }

// Fields is a value of several numbers. Their names are in snake_case and end
// in the unit where there is one.
func Fields(f map[string]float64) Value { return Value{fields: f} }

// Number returns the number of a value that has no fields.
func (v Value) Number() float64 { return v.number }

// Unit returns the unit of a value that has no fields.
func (v Value) Unit() string { return v.unit }

// All returns the fields of a value that has some; nil of one number. It is not
// to be changed.
func (v Value) All() map[string]float64 { return v.fields }

// Field returns the field of that name.
func (v Value) Field(name string) (x float64, ok bool) {
	x, ok = v.fields[name]
	return x, ok
}

const (
	fieldsMost = 64 // fields of one value
	unitMost   = 16 // bytes of a unit
)

// ErrBad is what Check finds.
var ErrBad = errors.New("no value")

// Check refuses what cannot travel: a number that is none or infinite, too many
// fields, a name that is not of a-z, 0-9 and underscore.
func (v Value) Check() error {
	if len(v.fields) > fieldsMost || len(v.unit) > unitMost {
		return fmt.Errorf("%w: %d fields, unit %q", ErrBad, len(v.fields), v.unit)
	}
	if math.IsNaN(v.number) || math.IsInf(v.number, 0) {
		return fmt.Errorf("%w: %v", ErrBad, v.number)
	}
	for name, x := range v.fields {
		if !fieldName(name) || math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%w: %q is %v", ErrBad, name, x)
		}
	}
	return nil
}

func fieldName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// MarshalJSON writes a number or an object of numbers.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.fields != nil {
		return json.Marshal(v.fields)
	}
	return json.Marshal(v.number)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (v *Value) UnmarshalJSON(b []byte) error {
	*v = Value{}
	if len(b) > 0 && b[0] == '{' {
		return json.Unmarshal(b, &v.fields)
	}
	if bytes.Equal(b, []byte("null")) {
		return ErrBad
	}
	return json.Unmarshal(b, &v.number)
}

// A Sample is one value of a stream.
type Sample struct {
	Boot   int64 // start of the process that measured, Unix ms
	Stream Stream
	Seq    uint64    // from 1 within boot and stream
	At     time.Time // by the node's own clock
	// Unsynced is not 0 if nothing had set that clock, as after the boot of a Pi without
	// a battery for it. Times of one boot with the same number go by each other.
	Unsynced uint32
	Value    Value
	Gap      *Gap // not nil: this is no sample but tells of some that are gone
}

// A Gap stands in the place of samples that their node had to give up: those
// from one sequence to that of the sample that holds it. So nothing is dropped
// in silence.
type Gap struct {
	From   uint64
	Reason string // full, age or damage
}

// check refuses what no node would make.
func (s Sample) check() error {
	switch {
	case s.Boot < 0 || s.Boot > 1<<53 || s.Seq == 0 || s.Seq > 1<<53 || s.Stream != "" && !s.Stream.Valid():
		return fmt.Errorf("%w: boot %d, stream %.40q, seq %d", ErrBad, s.Boot, s.Stream, s.Seq)
	case !s.At.IsZero() && (s.At.Before(earliest) || s.At.After(latest)):
		return fmt.Errorf("%w: at %v", ErrBad, s.At)
	case s.Gap == nil:
		return s.Value.Check()
	case s.Gap.From == 0 || s.Gap.From > s.Seq || !fleet.ValidName(s.Gap.Reason):
		return fmt.Errorf("%w: a gap from %d to %d", ErrBad, s.Gap.From, s.Seq)
	}
	return nil
}

// Times that a clock may show: one without a battery begins in 1970, and a
// time.Time beyond 2262 has no count of nanoseconds.
var (
	earliest = time.Unix(0, 0)
	latest   = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// wire is a sample as it travels. Numbers stay below 2^53, so that JavaScript
// reads them right.
type wire struct {
	Boot   int64     `json:"boot"`
	Stream Stream    `json:"stream,omitempty"`
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Unsync uint32    `json:"unsynced,omitempty"`
	Value  *Value    `json:"value,omitempty"`
	Unit   string    `json:"unit,omitempty"`
	Gap    *wireGap  `json:"gap,omitempty"` // instead of a value
}

type wireGap struct {
	From   uint64 `json:"from"`
	Reason string `json:"reason"`
}

// MarshalJSON writes the sample with the name of its stream.
func (s Sample) MarshalJSON() ([]byte, error) { return json.Marshal(s.wire()) }

func (s Sample) wire() wire {
	w := wire{Boot: s.Boot, Stream: s.Stream, Seq: s.Seq, At: s.At.UTC(), Unsync: s.Unsynced}
	if s.Gap != nil {
		w.Gap = &wireGap{s.Gap.From, s.Gap.Reason}
		return w
	}
	w.Value, w.Unit = &s.Value, s.Value.unit
	return w
}

// UnmarshalJSON reads what MarshalJSON writes, and refuses what Check would.
func (s *Sample) UnmarshalJSON(b []byte) error {
	var w wire
	if err := json.Unmarshal(b, &w); err != nil {
		return err
	}
	if (w.Value == nil) == (w.Gap == nil) {
		return fmt.Errorf("%w: boot %d, seq %d", ErrBad, w.Boot, w.Seq)
	}
	*s = Sample{Boot: w.Boot, Stream: w.Stream, Seq: w.Seq, At: w.At, Unsynced: w.Unsync}
	if w.Gap != nil {
		s.Gap = &Gap{w.Gap.From, w.Gap.Reason}
		return s.check()
	}
	w.Value.unit = w.Unit
	s.Value = *w.Value
	return s.check()
}
