package battery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/battery"
	"primespark/shared/fleet"
	"primespark/shared/logs"
	"primespark/shared/telemetry"
)

// A gauge is a reader that says what it is told.
type gauge struct {
	mu sync.Mutex
	r  battery.Reading
	e  error
}

func (g *gauge) Read(context.Context) (battery.Reading, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.r, g.e
}

func (g *gauge) set(r battery.Reading, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.r, g.e = r, err
}

type sheet map[telemetry.Stream][]telemetry.Value

func (s sheet) Record(stream telemetry.Stream, v telemetry.Value) error {
	s[stream] = append(s[stream], v)
	return v.Check()
}

// inBubble runs a monitor of r, one reading each 10 s, while the story is told.
func inBubble(t *testing.T, r func() battery.Reader, story func(t *testing.T, m *battery.Monitor, seen sheet, log *bytes.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		seen, log := sheet{}, new(bytes.Buffer)
		m := battery.New(battery.Config{Gauge: r(), Every: 10 * time.Second, Record: seen, Log: logs.New(log, logs.Options{})})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		pass(time.Second)
		story(t, m, seen, log)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// pass lets time pass, and what it brings be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestMonitor(t *testing.T) {
	g := &gauge{r: battery.Reading{Mains: battery.Known(true), Charge: battery.Known[battery.Charge](1.04), Volts: 4.18, Load: 5}}
	inBubble(t, func() battery.Reader { return g }, func(t *testing.T, m *battery.Monitor, seen sheet, log *bytes.Buffer) {
		p := m.Power().Get()
		if p.Source != fleet.Mains || p.Charge == nil || *p.Charge != 1 || p.Minutes != nil {
			t.Errorf("power %+v, want mains at 100 %%", p)
		}
		g.set(battery.Reading{Mains: battery.Known(false), Charge: battery.Known[battery.Charge](0.5)}, nil)
		pass(10 * time.Second)
		if p := m.Power().Get(); p.Source != fleet.Battery || *p.Charge != 0.5 {
			t.Errorf("power %+v, want battery at 50 %%", p)
		}
		if !strings.Contains(log.String(), `"power source changed","source":"battery"`) {
			t.Errorf("log: %s", log)
		}
		if x, _ := seen[telemetry.Battery][0].Field("volts"); x != 4.18 {
			t.Errorf("first sample has %v V", x)
		}
		if _, ok := seen[telemetry.Battery][1].Field("volts"); ok {
			t.Error("a voltage that is not known is recorded")
		}
		if x, _ := seen[telemetry.Power][1].Field("mains"); x != 0 || len(seen[telemetry.Power]) != 2 {
			t.Errorf("power samples %v", seen[telemetry.Power])
		}
	})
}

func TestAFaultyGaugeSaysNothing(t *testing.T) {
	charge := battery.Known[battery.Charge]
	for name, fault := range map[string]struct {
		reading battery.Reading
		err     error
	}{
		"no answer":      {err: errors.New("read i2c-1 0x36: remote I/O error")},
		"all ones":       {reading: battery.Reading{Charge: charge(2.56), Volts: 5.12}},
		"empty cell":     {reading: battery.Reading{Charge: charge(0.5), Volts: 0.1}},
		"no number":      {reading: battery.Reading{Charge: charge(battery.Charge(math.NaN()))}},
		"negative":       {reading: battery.Reading{Charge: charge(-0.1)}},
		"a power plant":  {reading: battery.Reading{Load: 1e6}},
		"infinite loads": {reading: battery.Reading{Load: math.Inf(1)}},
		"a short":        {reading: battery.Reading{Amps: battery.Known(-500.0)}},
		"on fire":        {reading: battery.Reading{Celsius: battery.Known(215.0)}},
		"for ever":       {reading: battery.Reading{Minutes: battery.Known(math.Inf(1))}},
		"no rate":        {reading: battery.Reading{PerHour: battery.Known(math.NaN())}},
	} {
		good := battery.Reading{Mains: battery.Known(true), Charge: charge(0.9), Volts: 4.1}
		g := &gauge{r: good}
		inBubble(t, func() battery.Reader { return g }, func(t *testing.T, m *battery.Monitor, seen sheet, log *bytes.Buffer) {
			g.set(fault.reading, fault.err)
			pass(time.Minute)
			if p := m.Power().Get(); p.Source != fleet.PowerUnknown || p.Charge != nil {
				t.Errorf("%s: power %+v, want unknown", name, p)
			}
			if n := strings.Count(log.String(), "power source unreadable"); n != 1 {
				t.Errorf("%s: told %d times in a minute:\n%s", name, n, log)
			}
			g.set(good, nil)
			pass(10 * time.Second)
			if p := m.Power().Get(); p.Source != fleet.Mains || !strings.Contains(log.String(), "readable again") {
				t.Errorf("%s: afterwards power %+v, log:\n%s", name, p, log)
			}
			if n := len(seen[telemetry.Battery]); n != 2 {
				t.Errorf("%s: %d samples, want the 2 good ones", name, n)
			}
		})
	}
}

// A line is a power-loss line that says what it is told.
type line struct{ gauge }

func (l *line) Present(ctx context.Context) (bool, error) {
	r, err := l.Read(ctx)
	return r.Mains.Value, err
}

func TestLineAndGaugeAreJudgedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gauge{r: battery.Reading{Charge: battery.Known[battery.Charge](0.8), Volts: 3.9}}
		l := &line{gauge{r: battery.Reading{Mains: battery.Known(true)}}}
		seen := sheet{}
		m := battery.New(battery.Config{
			Gauge: g, Line: l, Supply: func() battery.Supply { return battery.Supply{Volts: 4.9, Watts: 6} },
			Every: 10 * time.Second, Record: seen, Log: logs.New(new(bytes.Buffer), logs.Options{}),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		expect := func(what string, source fleet.PowerSource, known bool) {
			t.Helper()
			if p := m.Power().Get(); p.Source != source || (p.Charge != nil) != known {
				t.Errorf("%s: power %+v, want %q, charge known: %v", what, p, source, known)
			}
		}
		pass(1100 * time.Millisecond)
		expect("both work", fleet.Mains, true)
		l.set(battery.Reading{Mains: battery.Known(false)}, nil)
		pass(lineEvery)
		expect("the mains are lost", fleet.Battery, true)
		g.set(battery.Reading{}, errors.New("remote I/O error"))
		pass(3 * time.Second)
		if s := m.Samples().Get(); s.GaugeErr == nil || !s.Line.Is(false) || s.Gauge != (battery.Reading{}) {
			t.Errorf("sample %+v, want a failing gauge beside a line that works", s)
		}
		expect("three failures are noise", fleet.Battery, true)
		pass(3 * time.Second)
		expect("the gauge has failed", fleet.Battery, false)
		g.set(battery.Reading{Charge: battery.Known[battery.Charge](0.7)}, nil)
		l.set(battery.Reading{}, errors.New("line taken"))
		pass(6 * time.Second)
		expect("the line has failed: that is no loss of the mains", fleet.PowerUnknown, true)
		if x, _ := seen[telemetry.Power][0].Field("supply_volts"); x != 4.9 {
			t.Errorf("power samples %v, want the supply of 4.9 V", seen[telemetry.Power])
		}
		if x, _ := seen[telemetry.Battery][0].Field("load_watts"); x != 6 {
			t.Errorf("battery samples %v, want what the board draws where the gauge does not tell", seen[telemetry.Battery])
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// lineEvery is how soon a change of the line is a sample.
const lineEvery = 200 * time.Millisecond

func TestMinutesLeftByWhatIsKnown(t *testing.T) {
	on := battery.Reading{Mains: battery.Known(false), Charge: battery.Known[battery.Charge](0.5)}
	with := func(change func(*battery.Reading)) battery.Reading {
		r := on
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		reading  battery.Reading
		capacity float64
		want     float64
	}{
		"the gauge's own":     {with(func(r *battery.Reading) { r.Minutes, r.Amps = battery.Known(77.0), battery.Known(-1.0) }), 10, 77},
		"capacity by current": {with(func(r *battery.Reading) { r.Amps, r.PerHour = battery.Known(-2.0), battery.Known(-0.1) }), 10, 150},
		"no capacity: rate":   {with(func(r *battery.Reading) { r.Amps, r.PerHour = battery.Known(-2.0), battery.Known(-0.25) }), 0, 120},
		"nothing falls":       {on, 0, 24 * 60},
	} {
		synctest.Test(t, func(t *testing.T) {
			g := &gauge{r: c.reading}
			m := battery.New(battery.Config{Gauge: g, Capacity: c.capacity, Every: time.Minute, Record: sheet{}, Log: logs.New(new(bytes.Buffer), logs.Options{})})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- m.Run(ctx) }()
			pass(4 * time.Minute)
			if p := m.Power().Get(); p.Minutes == nil || math.Abs(*p.Minutes-c.want) > 1e-6 {
				t.Errorf("%s: power %+v, want %v minutes", name, p, c.want)
			}
			cancel()
			<-done
		})
	}
}

func TestMinutesLeft(t *testing.T) {
	// 30 minutes on battery from 60 to 30 %, then the mains are back.
	script := []battery.Point{
		{At: 0, Mains: true, Charge: 0.6, Load: 6},
		{At: time.Minute, Mains: false, Charge: 0.6, Load: 6},
		{At: 31 * time.Minute, Mains: true, Charge: 0.3, Load: 6},
	}
	sim := func() battery.Reader {
		s, err := battery.NewSim(script)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	inBubble(t, sim, func(t *testing.T, m *battery.Monitor, _ sheet, _ *bytes.Buffer) {
		pass(3 * time.Minute)
		if p := m.Power().Get(); p.Source != fleet.Battery || p.Minutes != nil {
			t.Errorf("after two minutes on battery %+v, want the time left not yet known", p)
		}
		pass(18 * time.Minute)
		if p := m.Power().Get(); p.Minutes == nil || math.Abs(*p.Minutes-40) > 0.5 {
			t.Errorf("at 40 %% and 1 %% a minute %+v, want 40 minutes left", p)
		}
		pass(10 * time.Minute)
		if p := m.Power().Get(); p.Source != fleet.Mains || p.Minutes != nil {
			t.Errorf("on mains again %+v, want no time left", p)
		}
	})
}

func TestSim(t *testing.T) {
	script := []battery.Point{
		{At: 10 * time.Second, Mains: true, Charge: 0.9, Load: 5},
		{At: 20 * time.Second, Mains: false, Charge: 0.8, Load: 7},
	}
	synctest.Test(t, func(t *testing.T) {
		s, err := battery.NewSim(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			mains        bool
			charge, load float64
		}{
			{true, 0.9, 5}, {true, 0.9, 5}, {true, 0.9, 5}, // at 0, 5 and 10 s
			{true, 0.85, 6}, {false, 0.8, 7}, {false, 0.8, 7}, // at 15, 20 and 25 s
		} {
			got, err := s.Read(t.Context())
			if err != nil || !got.Mains.Is(want.mains) || math.Abs(float64(got.Charge.Value)-want.charge) > 1e-9 || math.Abs(got.Load-want.load) > 1e-9 {
				t.Errorf("read %+v, %v, want %+v", got, err, want)
			}
			time.Sleep(5 * time.Second)
		}
	})
}

func TestSimRefuses(t *testing.T) {
	for name, script := range map[string][]battery.Point{
		"no points":    nil,
		"out of order": {{At: time.Second}, {At: time.Second}},
		"overfull":     {{Charge: 1.5}},
		"negative":     {{Load: -1}},
	} {
		if _, err := battery.NewSim(script); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
}

func ExampleSim() {
	s, err := battery.NewSim([]battery.Point{{Mains: true, Charge: 0.95, Load: 5}})
	if err != nil {
		panic(err)
	}
	r, err := s.Read(context.Background())
	fmt.Println(r.Mains.Value, r.Charge.Value, err)
	// Output: true 0.95 <nil>
}

// A laggard is a gauge and a line that take now more and now less time to answer.
type laggard struct{ n time.Duration }

func (l *laggard) wait() { l.n++; time.Sleep((5*l.n + 3) % 17 * time.Millisecond) }

func (l *laggard) Read(context.Context) (battery.Reading, error) {
	l.wait()
	return battery.Reading{Mains: battery.Known(true), Charge: battery.Known[battery.Charge](0.8), Volts: 3.9}, nil
}

func (l *laggard) Present(context.Context) (bool, error) { l.wait(); return true, nil }

// A clock is a recorder that notes when the battery is recorded.
type clock []time.Time

func (c *clock) Record(stream telemetry.Stream, _ telemetry.Value) error {
	if stream == telemetry.Battery {
		*c = append(*c, time.Now())
	}
	return nil
}

// TestEvery: what is sampled each second, and recorded each so many, is so whether the
// sensors answer a moment sooner or later than the last time.
func TestEvery(t *testing.T) {
	for name, lined := range map[string]bool{"gauge": false, "gauge and line": true} {
		for _, every := range []time.Duration{time.Second, 2 * time.Second, 10 * time.Second} {
			t.Run(fmt.Sprintf("%s, each %v", name, every), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var c clock
					cfg := battery.Config{Gauge: &laggard{}, Every: every, Record: &c, Log: logs.New(new(bytes.Buffer), logs.Options{})}
					if lined {
						cfg.Line = &laggard{n: 7}
					}
					m := battery.New(cfg)
					ctx, cancel := context.WithCancel(t.Context())
					done := make(chan error)
					go func() { done <- m.Run(ctx) }()
					time.Sleep(5 * time.Minute)
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
					for i := range c[1:] {
						if d := c[i+1].Sub(c[i]); d < every-50*time.Millisecond || d > every+50*time.Millisecond {
							t.Fatalf("record %d came %v after the one before", i+1, d)
						}
					}
					if n := time.Duration(len(c)); n < 5*time.Minute/every-1 {
						t.Errorf("%d records in 5 minutes", n)
					}
				})
			})
		}
	}
}

// A hanging gauge does not end with its time.
type hanging struct {
	gauge
	over atomic.Pointer[chan struct{}] // closed: it answers
}

func (h *hanging) Read(ctx context.Context) (battery.Reading, error) {
	if over := h.over.Load(); over != nil {
		<-*over
	}
	return h.gauge.Read(ctx)
}

// TestAlive: sensors that fail are no loop that hangs.
func TestAlive(t *testing.T) {
	g := &hanging{gauge: gauge{e: errors.New("remote I/O error")}}
	inBubble(t, func() battery.Reader { return g }, func(t *testing.T, m *battery.Monitor, _ sheet, _ *bytes.Buffer) {
		pass(10 * time.Minute)
		if err := m.Alive(); err != nil {
			t.Errorf("with a gauge that fails: %v", err)
		}
		over := make(chan struct{})
		g.over.Store(&over) // the monitor sleeps, until the next second
		pass(2 * time.Minute)
		if m.Alive() == nil {
			t.Error("a loop that hangs passes for alive")
		}
		close(over)
		pass(2 * time.Second)
		if err := m.Alive(); err != nil {
			t.Errorf("when it goes on: %v", err)
		}
	})
}
