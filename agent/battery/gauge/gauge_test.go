package gauge_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/battery"
	"primespark/agent/battery/batterytest"
	"primespark/agent/battery/gauge"
	"primespark/agent/battery/i2cdev"
)

// lab is each board on an I²C bus, with a pack that it shows and what is to be read.
type board struct {
	source string
	chip   func() batterytest.Chip
	pack   batterytest.Pack
	want   battery.Reading
}

func charge(x battery.Charge) battery.Maybe[battery.Charge] { return battery.Known(x) }

var boards = []board{
	{
		"x120x", batterytest.MAX17048,
		batterytest.Pack{Volts: 3.9, Charge: 0.875, PerHour: -0.125},
		battery.Reading{Volts: 3.9, Charge: charge(0.875), PerHour: battery.Known(-0.125)},
	},
	{
		"x728", batterytest.MAX17040,
		batterytest.Pack{Volts: 4.18, Charge: 1.04, PerHour: 7},
		battery.Reading{Volts: 4.18, Charge: charge(1.04)},
	},
	{
		"max1704x", batterytest.MAX17048,
		batterytest.Pack{Volts: 3.25, Charge: 0, PerHour: 0},
		battery.Reading{Volts: 3.25, Charge: charge(0), PerHour: battery.Known(0.0)},
	},
	{
		"waveshare-ina219", batterytest.INA219,
		batterytest.Pack{Volts: 7.44, Amps: -2},
		battery.Reading{Volts: 3.72, Amps: battery.Known(-2.0), Load: 14.88, Charge: charge(0.5)}, // 3.72 V under 2 A are 3.84 V at rest
	},
	{
		"waveshare-e", batterytest.WaveshareE,
		batterytest.Pack{Mains: true, Volts: 15.6, Charge: 0.81, Amps: 1.2, Minutes: 30},
		battery.Reading{Mains: battery.Known(true), Volts: 3.9, Charge: charge(0.81), Amps: battery.Known(1.2)},
	},
	{
		"waveshare-e", batterytest.WaveshareE,
		batterytest.Pack{Volts: 14.4, Charge: 0.4, Amps: -0.75, Minutes: 95},
		battery.Reading{Mains: battery.Known(false), Volts: 3.6, Charge: charge(0.4), Amps: battery.Known(-0.75), Minutes: battery.Known(95.0)},
	},
	{
		"pisugar3", batterytest.PiSugar3,
		batterytest.Pack{Volts: 3.83, Charge: 0.6, Celsius: 31, Mains: true},
		battery.Reading{Mains: battery.Known(true), Volts: 3.83, Charge: charge(0.6), Celsius: battery.Known(31.0)},
	},
	{
		"upsgen6", batterytest.UPSGen6,
		batterytest.Pack{Volts: 7.68, Amps: -1, Celsius: -5, Out: 1.2},
		battery.Reading{Mains: battery.Known(false), Volts: 3.84, Charge: charge(0.6375), Amps: battery.Known(-1.0), Celsius: battery.Known(-5.0), Load: 6.12},
	},
	{
		"upsplus", batterytest.UPSPlus,
		batterytest.Pack{Volts: 3.7, Charge: 0.44, Celsius: 40, Mains: true},
		battery.Reading{Mains: battery.Known(true), Volts: 3.7, Charge: charge(0.44), Celsius: battery.Known(40.0)},
	},
	{
		"spc", batterytest.SPC,
		batterytest.Pack{Volts: 7.2, Charge: 0.2, Amps: -1.5, Out: 2, Ending: true},
		battery.Reading{Mains: battery.Known(false), Volts: 3.6, Charge: charge(0.2), Amps: battery.Known(-1.5), Load: 10.2, Shutdown: true},
	},
}

// on makes a reader of a board on a bus of its own.
func (b board) on(t *testing.T) (*batterytest.Bus, battery.Reader) {
	t.Helper()
	chip := b.chip()
	chip.Show(b.pack)
	bus := chip.On()
	r, err := gauge.New(gauge.Config{Source: b.source}, bus)
	if err != nil {
		t.Fatal(err)
	}
	return bus, r
}

// same compares readings to what the registers can show.
func same(a, b battery.Reading) bool {
	near := func(a, b float64, by float64) bool { return math.Abs(a-b) <= by }
	return a.Mains == b.Mains && a.Shutdown == b.Shutdown &&
		a.Charge.Known == b.Charge.Known && near(float64(a.Charge.Value), float64(b.Charge.Value), 0.005) &&
		near(float64(a.Volts), float64(b.Volts), 0.003) && near(a.Load, b.Load, 0.02) &&
		a.Amps.Known == b.Amps.Known && near(a.Amps.Value, b.Amps.Value, 0.002) &&
		a.Celsius == b.Celsius && a.Minutes == b.Minutes &&
		a.PerHour.Known == b.PerHour.Known && near(a.PerHour.Value, b.PerHour.Value, 0.002)
}

func TestBoards(t *testing.T) {
	for _, b := range boards {
		bus, r := b.on(t)
		got, err := r.Read(t.Context())
		if err != nil || !same(got, b.want) {
			t.Errorf("%s: %+v, %v\nwant %+v", b.source, got, err, b.want)
		}
		if w := bus.Writes(); len(w) > 0 {
			t.Errorf("%s: a driver that only reads wrote %+v", b.source, w)
		}
	}
}

// TestEveryModelIsTried keeps the list above whole.
func TestEveryModelIsTried(t *testing.T) {
	for _, m := range gauge.Models() {
		if len(m.Addresses) > 0 && !slices.ContainsFunc(boards, func(b board) bool { return b.source == m.Source }) {
			t.Errorf("%s is not among the boards of the tests", m.Source)
		}
	}
}

func TestFaultsAreErrors(t *testing.T) {
	for _, b := range boards {
		for name, c := range map[string]struct {
			fault func(*batterytest.Bus)
			mend  func(*batterytest.Bus)
			is    error
		}{
			"NAK":         {func(bus *batterytest.Bus) { bus.Fail(batterytest.ErrNAK) }, nil, i2cdev.ErrNAK},
			"late NAK":    {func(bus *batterytest.Bus) { bus.Fail(nil, batterytest.ErrNAK) }, nil, i2cdev.ErrNAK},
			"arbitration": {func(bus *batterytest.Bus) { bus.Fail(batterytest.ErrArbitration) }, nil, i2cdev.ErrArbitration},
			"disturbed":   {func(bus *batterytest.Bus) { bus.Fail(batterytest.ErrDisturbed) }, nil, i2cdev.ErrIO},
			"unplugged":   {func(bus *batterytest.Bus) { bus.Unplug(true) }, func(bus *batterytest.Bus) { bus.Unplug(false) }, i2cdev.ErrGone},
			"all ones":    {func(bus *batterytest.Bus) { bus.Glitch(1000) }, func(bus *batterytest.Bus) { bus.Glitch(0) }, battery.ErrImplausible},
			"stalled":     {func(bus *batterytest.Bus) { bus.Stall(true) }, func(bus *batterytest.Bus) { bus.Stall(false) }, context.DeadlineExceeded},
		} {
			synctest.Test(t, func(t *testing.T) {
				bus, r := b.on(t)
				if name == "late NAK" {
					if _, err := r.Read(t.Context()); err != nil || bus.Transfers() == 1 {
						return // one transfer is all
					}
				}
				c.fault(bus)
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				got, err := r.Read(ctx)
				if !errors.Is(err, c.is) && !(name == "all ones" && err != nil) || got != (battery.Reading{}) {
					t.Errorf("%s, %s: %+v, %v", b.source, name, got, err)
				}
				if c.mend != nil {
					c.mend(bus)
				}
				if got, err := r.Read(t.Context()); err != nil || !same(got, b.want) {
					t.Errorf("%s, after %s: %+v, %v", b.source, name, got, err)
				}
			})
		}
	}
}

// TestOneGlitchIsNoReading has each single transfer of a reading answer all ones.
func TestOneGlitchIsNoReading(t *testing.T) {
	for _, b := range boards {
		bus, r := b.on(t)
		if _, err := r.Read(t.Context()); err != nil {
			t.Fatal(b.source, err)
		}
		each := bus.Transfers()
		for n := range each {
			at := 0
			glitched := &glitching{bus: bus, at: n, n: &at}
			r, err := gauge.New(gauge.Config{Source: b.source}, glitched)
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Read(t.Context())
			if err == nil && (got.Charge.Value > 1.1 || got.Volts > 4.35 || math.Abs(got.Amps.Value) > 60) {
				t.Errorf("%s, all ones in transfer %d of %d: %+v", b.source, n+1, each, got)
			}
		}
	}
}

// glitching has one transfer of a bus answer all ones.
type glitching struct {
	bus *batterytest.Bus
	at  int
	n   *int
}

func (g *glitching) TxContext(ctx context.Context, addr uint16, w, r []byte) error {
	if *g.n == g.at {
		g.bus.Glitch(1)
	}
	*g.n++
	return g.bus.TxContext(ctx, addr, w, r)
}

func TestParallelReads(t *testing.T) {
	for _, b := range boards {
		_, r := b.on(t)
		var wg sync.WaitGroup
		wrong := make(chan battery.Reading, 400)
		for range 400 {
			wg.Go(func() {
				if got, err := r.Read(t.Context()); err != nil || got.Volts != battery.Volts(got.Volts) || math.Abs(float64(got.Volts-b.want.Volts)) > 0.003 {
					wrong <- got
				}
			})
		}
		wg.Wait()
		if len(wrong) > 0 {
			t.Errorf("%s: %d of 400 parallel reads are wrong, the first %+v", b.source, len(wrong), <-wrong)
		}
	}
}

func TestAnotherChipAtTheAddress(t *testing.T) {
	for source, spoil := range map[string]func(batterytest.Chip){
		"waveshare-e": func(c batterytest.Chip) { c.Set(0x00, 0x55) },
		"upsgen6":     func(c batterytest.Chip) { c.Set(0x00, 0x01) },
		"spc":         func(c batterytest.Chip) { c.Set(0x0f, 0x80) },
		"pisugar3":    func(c batterytest.Chip) { c.Set(0x22, 0, 0) },
	} {
		i := slices.IndexFunc(boards, func(b board) bool { return b.source == source })
		chip := boards[i].chip()
		chip.Show(boards[i].pack)
		spoil(chip)
		r, err := gauge.New(gauge.Config{Source: source}, chip.On())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Read(t.Context()); !errors.Is(err, battery.ErrImplausible) {
			t.Errorf("%s: %+v, %v", source, got, err)
		}
	}
}

func TestAControllerThatLostItsGauge(t *testing.T) {
	chip := batterytest.WaveshareE()
	chip.Show(batterytest.Pack{Volts: 15, Charge: 0.8})
	chip.Set(0x03, 0x01)
	r, err := gauge.New(gauge.Config{Source: "waveshare-e"}, chip.On())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err == nil {
		t.Errorf("old figures are passed on: %+v", got)
	}
}

func TestTheWeakestCellCounts(t *testing.T) {
	chip := batterytest.WaveshareE()
	chip.Show(batterytest.Pack{Volts: 15, Charge: 0.8})
	chip.Set(0x34, 3000&0xff, 3000>>8)
	r, err := gauge.New(gauge.Config{Source: "waveshare-e"}, chip.On())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err != nil || got.Volts != 3.0 {
		t.Errorf("%+v, %v; want the 3.0 V of the third cell", got, err)
	}
}

func TestARegisterThatChangesMeanwhile(t *testing.T) {
	chip := batterytest.UPSPlus()
	chip.Show(batterytest.Pack{Volts: 3.83, Charge: 0.5}) // 0x0ef6 mV
	bus := &changing{chip.On(), func(n int) {
		if n == 3 {
			chip.Set(0x05, 0x00, 0x0f) // 3.84 V: the upper byte has gone up
		}
	}, 0}
	r, err := gauge.New(gauge.Config{Source: "upsplus"}, bus)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Read(t.Context()); err != nil && !errors.Is(err, battery.ErrImplausible) || err == nil && math.Abs(float64(got.Volts)-3.835) > 0.01 {
		t.Errorf("%+v, %v; want the voltage before or after, or none", got, err)
	}
}

// changing calls change before each transfer.
type changing struct {
	bus    gauge.Bus
	change func(n int)
	n      int
}

func (c *changing) TxContext(ctx context.Context, addr uint16, w, r []byte) error {
	c.n++
	c.change(c.n)
	return c.bus.TxContext(ctx, addr, w, r)
}

func TestTheSignOfTheCurrentTellsOfTheMains(t *testing.T) {
	chip := batterytest.INA219()
	bus := chip.On()
	r, err := gauge.New(gauge.Config{Source: "waveshare-ina219"}, bus)
	if err != nil {
		t.Fatal(err)
	}
	var none battery.Maybe[bool]
	on, off := battery.Known(true), battery.Known(false)
	for i, c := range []struct {
		amps float64
		want battery.Maybe[bool]
	}{
		{0.5, none},
		{0.5, none},
		{0.5, none},
		{-0.1, none},
		{0.5, none},
		{0.1, none},
		{0, none},
		{0, none},
		{0.2, on}, // five in a row
		{-0.1, on},
		{-0.1, on}, // an idle board draws that
		{-0.8, on},
		{-0.8, on},
		{0.1, on},
		{-0.8, on},
		{-0.8, on},
		{-0.8, off}, // three
		{-0.1, off},
		{0.3, off},
	} {
		bus.Do(func() { chip.Show(batterytest.Pack{Volts: 7.6, Amps: c.amps}) })
		if got, err := r.Read(t.Context()); err != nil || got.Mains != c.want {
			t.Errorf("reading %d, %v A: mains %+v, %v; want %+v", i+1, c.amps, got.Mains, err, c.want)
		}
	}
}

func TestTheChargeByVoltageDoesNotJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chip := batterytest.INA219()
		bus := chip.On()
		r, err := gauge.New(gauge.Config{Source: "waveshare-ina219", Ohm: 0.0001}, bus)
		if err != nil {
			t.Fatal(err)
		}
		show := func(volts, amps float64, seconds int) (got battery.Charge) {
			for range seconds {
				bus.Do(func() { chip.Show(batterytest.Pack{Volts: 2 * volts, Amps: amps}) })
				reading, err := r.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				got = reading.Charge.Value
				time.Sleep(time.Second)
			}
			return got
		}
		within := func(what string, got, least, most battery.Charge) {
			t.Helper()
			if got < least || got > most {
				t.Errorf("%s: %.3f, want %.3f to %.3f", what, got, least, most)
			}
		}
		within("at rest", show(3.84, -1, 10), 0.499, 0.501)
		within("one reading of a full cell", show(4.2, -1, 1), 0.499, 0.501)
		within("a minute of discharge", show(3.75, -1, 60), 0.33, 0.35)
		within("five more", show(3.75, -1, 300), 0.25, 0.251)
		within("the charger is plugged in: a minute at a full cell's voltage", show(4.2, 1, 60), 0.255, 0.265)
	})
}

func TestUnknownSource(t *testing.T) {
	if _, err := gauge.New(gauge.Config{Source: "car"}, nil); err == nil {
		t.Error("no error")
	}
}

func TestCuts(t *testing.T) {
	for source, want := range map[string][][]byte{
		"waveshare-e": {{0x01, 0x55}},
		"pisugar3":    {{0x0b, 0x29}, {0x02, 0x50}, {0x0b, 0x00}},
		"upsgen6":     {{0x23, 90}},
		"upsplus":     {{0x19, 1}, {0x18, 90}},
	} {
		m, _ := gauge.Find(source)
		if got := m.Cut.Writes(90 * time.Second); !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%s: %x, want %x", source, got, want)
		}
		if m.Cut.Countdown {
			if got := m.Cut.Writes(time.Hour); got[len(got)-1][1] != 255 {
				t.Errorf("%s: an hour is %x, want the longest there is", source, got)
			}
			if got := m.Cut.Writes(0); got[len(got)-1][1] != 0 {
				t.Errorf("%s: taken back by %x", source, got)
			}
		}
	}
	if m, _ := gauge.Find("x120x"); m.Cut != nil || m.Line == nil || m.Line.Low {
		t.Errorf("x120x: %+v; it cannot cut, and its line is high while the mains are there", m)
	}
	if m, _ := gauge.Find("x728"); m.Line == nil || !m.Line.Low {
		t.Errorf("x728: %+v; its line is low while the mains are there", m)
	}
}
