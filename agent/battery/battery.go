// Package battery reads the node's battery and whether the mains feed it.
//
// A Monitor reads any Reader at an interval, records what it says and keeps the
// newest for those who decide by it. It decides nothing itself: what a charge
// means for the node is another's matter. A reader that fails says nothing of
// the battery, so the power is unknown then, never empty.
package battery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

// Volts is a voltage across one cell. A lithium cell is full at 4.2 and empty at
// about 3.0; below 2.5 it is being destroyed.
type Volts float64

// Charge is the state of charge, 0 to 1.
type Charge float64

// A Reading is what a reader knows at one moment.
type Reading struct {
	Mains  bool
	Charge Charge
	Volts  Volts   // 0 if it is not known
	Load   float64 // watts that the node draws; 0 if it is not known
}

// ErrImplausible marks a reading that no battery gives, as a bus does that is
// disturbed.
var ErrImplausible = errors.New("implausible reading")

// check refuses what cannot be: gauges report up to 110 % while they charge, and
// all ones or zeros when nothing answers.
func (r Reading) check() error {
	ok := r.Charge >= 0 && r.Charge <= 1.1 && // false for what is no number
		(r.Volts == 0 || r.Volts >= 2.5 && r.Volts <= 4.35) && r.Load >= 0 && r.Load < 1000
	if !ok {
		return fmt.Errorf("%w: charge %.3f, %.3f V a cell, %.1f W", ErrImplausible, r.Charge, r.Volts, r.Load)
	}
	return nil
}

// A Reader is a gauge, or what stands for one. Read returns within a second or
// so, or when ctx ends.
type Reader interface {
	Read(ctx context.Context) (Reading, error)
}

// A Recorder takes what was measured.
type Recorder interface {
	Record(telemetry.Stream, telemetry.Value) error
}

// A Monitor reads while it runs.
type Monitor struct {
	every  time.Duration
	reader Reader
	record Recorder
	log    *slog.Logger
	power  *watch.Value[fleet.Power]
}

var _ run.Part = (*Monitor)(nil)

// New returns a monitor that has read nothing yet.
func New(every time.Duration, reader Reader, record Recorder, log *slog.Logger) *Monitor {
	return &Monitor{every: every, reader: reader, record: record, log: log, power: watch.New(fleet.Power{})}
}

// Power returns the newest word on the node's power. It is the zero value, which
// says unknown, before the first reading and while the reader fails.
func (m *Monitor) Power() *watch.Value[fleet.Power] { return m.power }

// Run reads at once and then at every interval, until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	tick := time.NewTicker(m.every)
	defer tick.Stop()
	var left estimate
	failing := false
	for {
		r, err := m.read(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			m.note(r, left.add(r, time.Now()))
		} else {
			left = estimate{}
			m.power.Store(fleet.Power{})
		}
		if failing != (err != nil) {
			failing = err != nil
			m.say(err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *Monitor) String() string { return "battery monitor" }

func (m *Monitor) read(ctx context.Context) (Reading, error) {
	r, err := m.reader.Read(ctx)
	if err != nil {
		return r, err
	}
	if err := r.check(); err != nil {
		return r, err
	}
	r.Charge = min(r.Charge, 1)
	return r, m.samples(r)
}

func (m *Monitor) samples(r Reading) error {
	fields := map[string]float64{"state_of_charge": float64(r.Charge)}
	if r.Volts > 0 {
		fields["volts"] = float64(r.Volts)
	}
	if r.Load > 0 {
		fields["load_watts"] = r.Load
	}
	mains := 0.0
	if r.Mains {
		mains = 1
	}
	return errors.Join(
		m.record.Record(telemetry.Battery, telemetry.Fields(fields)),
		m.record.Record(telemetry.Power, telemetry.Fields(map[string]float64{"mains": mains})),
	)
}

// note keeps the newest. minutes is what is left on battery, or not a number.
func (m *Monitor) note(r Reading, minutes float64) {
	charge := float64(r.Charge)
	p := fleet.Power{Source: fleet.Mains, Charge: &charge}
	if !r.Mains {
		p.Source = fleet.Battery
		if !math.IsNaN(minutes) {
			p.Minutes = &minutes
		}
	}
	if old := m.power.Get().Source; old != p.Source && old != fleet.PowerUnknown {
		m.log.Info("power source changed", "source", p.Source, "state_of_charge", charge)
	}
	m.power.Store(p)
}

func (m *Monitor) say(err error) {
	if err != nil {
		m.log.Warn("battery unreadable, its power counts as unknown", "err", err,
			"remedy", "check battery.source in the config, that I²C is enabled, and that the UPS board sits right")
		return
	}
	m.log.Info("battery readable again")
}
