// Package battery reads the node's battery and whether the mains feed it.
//
// A Monitor reads a gauge and a power-loss line once a second, shares each sample with
// those who decide by it, and records some of them. It decides nothing itself: what a
// charge means for the node is another's matter. A source that fails says nothing of
// the battery, so what it tells is unknown then, never empty.
package battery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"primespark/shared/fleet"
	"primespark/shared/run"
	"primespark/shared/telemetry"
	"primespark/shared/watch"
)

const (
	sampleEvery = time.Second            // the gauges change no faster
	lineEvery   = 200 * time.Millisecond // reading a line costs nothing, and its news is urgent; others look as often (run.Due)
	readTimeout = 1500 * time.Millisecond
	// What was read last holds for as many failures: a lone one is noise on the bus.
	patience     = 5
	stalledAfter = 90 * time.Second
)

// A Recorder takes what was measured.
type Recorder interface {
	Record(telemetry.Stream, telemetry.Value) error
}

// Config is what a monitor needs. Gauge or Line may be nil, where there is none.
type Config struct {
	Gauge    Reader
	Line     Line
	Supply   func() Supply // the newest of the Pi's power chip; nil: not known
	Capacity float64       // of the battery, Ah; 0 if not known
	Every    time.Duration // between recorded samples; a change of the mains is recorded at once
	Record   Recorder
	Log      *slog.Logger
}

// A Monitor reads while it runs.
type Monitor struct {
	Config
	samples *watch.Value[Sample]
	power   *watch.Value[fleet.Power]
	made    time.Time
}

var _ run.Part = (*Monitor)(nil)

// New returns a monitor that has read nothing yet.
func New(c Config) *Monitor {
	return &Monitor{Config: c, samples: watch.New(Sample{}), power: watch.New(fleet.Power{}), made: time.Now()}
}

// Samples returns the newest sample, one each second, and one at once when the line
// changes. At is zero before the first.
func (m *Monitor) Samples() *watch.Value[Sample] { return m.samples }

// Power returns the newest word on the node's power. It is the zero value, which
// says unknown, before the first reading and while the sources fail.
func (m *Monitor) Power() *watch.Value[fleet.Power] { return m.power }

// Alive returns why no samples come any more, good ones or bad: the loop hangs. After a
// failure it may be a minute until it runs again.
func (m *Monitor) Alive() error {
	last := m.samples.Get().At
	if last.IsZero() {
		last = m.made
	}
	if since := time.Since(last); since > stalledAfter {
		return fmt.Errorf("the battery and the mains were last asked %v ago", since.Round(time.Second))
	}
	return nil
}

func (m *Monitor) String() string { return "battery monitor" }

// Run reads at once and then every second, until ctx ends.
func (m *Monitor) Run(ctx context.Context) error {
	pace := sampleEvery
	if m.Line != nil {
		pace = lineEvery
	}
	tick := time.NewTimer(run.Due(pace))
	defer tick.Stop()
	now := view{left: estimate{capacity: m.Capacity}}
	for {
		line, lineErr := m.line(ctx)
		last := m.samples.Get()
		if line != last.Line || due(last.At, sampleEvery, pace) {
			s := Sample{At: time.Now(), Line: line, LineErr: lineErr}
			s.Gauge, s.GaugeErr = m.gauge(ctx)
			if m.Supply != nil {
				s.Supply = m.Supply()
			}
			if ctx.Err() != nil {
				return nil
			}
			m.samples.Store(s)
			m.note(&now, s)
		}
		select {
		case <-tick.C:
			tick.Reset(run.Due(pace))
		case <-ctx.Done():
			return nil
		}
	}
}

// due reports whether what happens every so often, and was last done at a time, is to be done
// now. A loop that looks at a certain pace comes now a little sooner and now later than
// that, as its sensors answer: what is nearer to now than to its next look is due.
func due(last time.Time, every, pace time.Duration) bool { return time.Since(last) >= every-pace/2 }

// line asks whether the mains are there; not known where there is no line.
func (m *Monitor) line(ctx context.Context) (Maybe[bool], error) {
	if m.Line == nil {
		return Maybe[bool]{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	on, err := m.Line.Present(ctx)
	if err != nil {
		return Maybe[bool]{}, err
	}
	return Known(on), nil
}

func (m *Monitor) gauge(ctx context.Context) (Reading, error) {
	if m.Gauge == nil {
		return Reading{}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	r, err := m.Gauge.Read(ctx)
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		return Reading{}, err
	}
	r.Charge.Value = min(r.Charge.Value, 1)
	return r, nil
}

// A view is what a monitor makes of the samples so far.
type view struct {
	gauge    Reading     // the last good one
	line     Maybe[bool] // the last good one
	gaugeBad fault
	lineBad  fault
	left     estimate
	recorded time.Time
	source   fleet.PowerSource // of the newest record
	lost     bool              // the newest could not be recorded, and it is told
}

// A fault counts the failures of a source in a row.
type fault struct {
	n    int
	told bool
}

// note takes one sample in: keeps the newest word on the power, and records.
func (m *Monitor) note(v *view, s Sample) {
	m.count(&v.gaugeBad, "battery gauge", s.GaugeErr)
	m.count(&v.lineBad, "power-loss line", s.LineErr)
	if s.GaugeErr == nil {
		v.gauge = s.Gauge
	} else if v.gaugeBad.n >= patience {
		v.gauge = Reading{}
	}
	if s.LineErr == nil {
		v.line = s.Line
	} else if v.lineBad.n >= patience {
		v.line = Maybe[bool]{}
	}
	held := Sample{At: s.At, Gauge: v.gauge, Line: v.line, Supply: s.Supply}
	p := word(held, v.left.add(held))
	old := m.power.Get().Source
	if old != p.Source && old != fleet.PowerUnknown && p.Source != fleet.PowerUnknown {
		m.Log.Info("power source changed", "source", p.Source, "state_of_charge", v.gauge.Charge.Value)
	}
	m.power.Store(p)

	good := s.GaugeErr == nil && m.Gauge != nil || s.LineErr == nil && m.Line != nil
	if good && (due(v.recorded, m.Every, sampleEvery) || p.Source != v.source) {
		v.recorded, v.source = time.Now(), p.Source
		m.keep(v, s, p)
	}
}

// word is what the fleet is told of a sample. left is what is left on battery.
func word(s Sample, left Maybe[float64]) fleet.Power {
	var p fleet.Power
	if s.Gauge.Charge.Known {
		charge := float64(s.Gauge.Charge.Value)
		p.Charge = &charge
	}
	switch mains := s.Mains(); {
	case mains.Is(true):
		p.Source = fleet.Mains
	case mains.Is(false):
		p.Source = fleet.Battery
		if left.Known {
			p.Minutes = &left.Value
		}
	}
	return p
}

// count tells of a source when it begins to fail for good, and when that ends.
func (m *Monitor) count(f *fault, source string, err error) {
	if err == nil {
		if f.told {
			m.Log.Info("power source readable again", "of", source)
		}
		*f = fault{}
		return
	}
	f.n++
	if f.n >= patience && !f.told {
		f.told = true
		m.Log.Warn("power source unreadable, what it tells counts as unknown", "of", source, "err", err,
			"remedy", "check battery.source and i2c.bus in the config, that I²C is enabled, and that the UPS board sits right; prime-spark-agent detect shows what answers")
	}
}

// keep records a sample: what its sources told, and nothing that is not known.
func (m *Monitor) keep(v *view, s Sample, p fleet.Power) {
	var failed error
	if fields := batteryFields(s, p); len(fields) > 0 {
		failed = m.Record.Record(telemetry.Battery, telemetry.Fields(fields))
	}
	if fields := powerFields(s, p); len(fields) > 0 {
		failed = errors.Join(failed, m.Record.Record(telemetry.Power, telemetry.Fields(fields)))
	}
	if failed != nil && !v.lost {
		m.Log.Warn("battery not recorded", "err", failed, "next", "the next sample is tried again")
	}
	v.lost = failed != nil
}

func batteryFields(s Sample, p fleet.Power) map[string]float64 {
	fields := map[string]float64{}
	put := func(name string, m Maybe[float64]) {
		if m.Known {
			fields[name] = m.Value
		}
	}
	g := s.Gauge
	put("state_of_charge", Maybe[float64]{float64(g.Charge.Value), g.Charge.Known})
	put("volts", Maybe[float64]{float64(g.Volts), g.Volts > 0})
	put("current_amps", g.Amps)
	put("temperature_celsius", g.Celsius)
	switch {
	case g.Load > 0:
		fields["load_watts"] = g.Load
	case s.Supply.Watts > 0:
		fields["load_watts"] = s.Supply.Watts
	}
	if p.Minutes != nil {
		fields["left_minutes"] = *p.Minutes
	}
	return fields
}

func powerFields(s Sample, p fleet.Power) map[string]float64 {
	fields := s.Supply.Fields()
	switch p.Source {
	case fleet.Mains:
		fields["mains"] = 1
	case fleet.Battery:
		fields["mains"] = 0
	}
	return fields
}

// Fields are those of a sample of the power.
func (s Supply) Fields() map[string]float64 {
	fields := map[string]float64{}
	if s.Volts > 0 {
		fields["supply_volts"] = s.Volts
	}
	if s.Watts > 0 {
		fields["board_watts"] = s.Watts
	}
	return fields
}
