package detect_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"primespark/agent/battery/batterytest"
	"primespark/agent/battery/detect"
	"primespark/agent/battery/gauge"
	"primespark/agent/battery/gpioline"
	"primespark/agent/battery/registers"
)

var packs = map[string]batterytest.Pack{
	"one":  {Mains: true, Volts: 3.9, Charge: 0.8, Celsius: 25},
	"two":  {Mains: true, Volts: 7.8, Charge: 0.8, Celsius: 25},
	"four": {Mains: true, Volts: 15.6, Charge: 0.8},
}

// shown is a chip that shows a pack.
func shown(chip batterytest.Chip, pack string) batterytest.Chip {
	chip.Show(packs[pack])
	return chip
}

func TestEveryBoardIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		chip   batterytest.Chip
		fits   []string // sources, in order
		signed bool
	}{
		"MAX17048":   {shown(batterytest.MAX17048(), "one"), []string{"x120x", "x728", "max1704x"}, true},
		"MAX17040":   {shown(batterytest.MAX17040(), "one"), []string{"x120x", "x728", "max1704x"}, true},
		"INA219":     {shown(batterytest.INA219(), "two"), []string{"waveshare-ina219"}, true},
		"WaveshareE": {shown(batterytest.WaveshareE(), "four"), []string{"waveshare-e"}, true},
		"PiSugar3":   {shown(batterytest.PiSugar3(), "one"), []string{"pisugar3"}, true},
		"UPSGen6":    {shown(batterytest.UPSGen6(), "two"), []string{"upsgen6"}, true},
		"UPSPlus":    {shown(batterytest.UPSPlus(), "one"), []string{"upsplus"}, true},
		"SPC":        {shown(batterytest.SPC(), "two"), []string{"spc"}, false},
	} {
		bus := c.chip.On()
		r := detect.Finder{Bus: bus, BusName: "/dev/i2c-1", Usual: true}.Find(t.Context())
		if len(r.Chips) != 1 || !slices.Equal(r.Chips[0].Fits, c.fits) || len(r.Chips[0].Registers) == 0 {
			t.Errorf("%s: %+v, want %q", name, r.Chips, c.fits)
			continue
		}
		for i, p := range r.Proposals {
			if p.Source != c.fits[i] || p.Signed != c.signed || p.YAML != "battery:\n  source: "+c.fits[i]+"\n" {
				t.Errorf("%s: proposal %+v", name, p)
			}
		}
		if w := bus.Writes(); len(w) > 0 {
			t.Errorf("%s: looking wrote %+v", name, w)
		}
	}
}

func TestOtherChipsAreNoBoards(t *testing.T) {
	filled := func(c *registers.Chip, v uint16) *registers.Chip {
		for reg := range 256 {
			c.Set(byte(reg), v)
		}
		return c
	}
	for name, c := range map[string]struct {
		addr uint16
		chip *registers.Chip
	}{
		"AS5600":           {0x36, filled(registers.Bytes(), 0)},
		"all ones":         {0x36, filled(registers.Words(), 0xffff)},
		"PCA9685":          {0x40, filled(registers.Bytes(), 0x11)},
		"an empty EEPROM":  {0x57, filled(registers.Bytes(), 0xff)},
		"a zeroed EEPROM":  {0x57, filled(registers.Bytes(), 0)},
		"an EEPROM's text": {0x57, filled(registers.Bytes(), 'x')},
		"BH1750":           {0x5c, filled(registers.Bytes(), 0x83)},
		"something":        {0x17, filled(registers.Bytes(), 0x42)},
		"something else":   {0x2d, filled(registers.Bytes(), 0x0b)},
	} {
		r := detect.Finder{Bus: new(batterytest.Bus).Add(c.addr, c.chip), BusName: "/dev/i2c-1", Usual: true}.Find(t.Context())
		if len(r.Proposals) > 0 || len(r.Chips) != 1 || len(r.Chips[0].Why) == 0 {
			t.Errorf("%s: %+v, want it shown and nothing proposed", name, r)
		}
	}
}

func TestWhatIsNotTheUsual(t *testing.T) {
	chip := shown(batterytest.INA219(), "one")
	bus := new(batterytest.Bus).Add(0x43, chip.Chip)
	r := detect.Finder{Bus: bus, BusName: "/dev/i2c-13"}.Find(t.Context())
	want := "i2c:\n  bus: /dev/i2c-13\nbattery:\n  source: waveshare-ina219\n  address: 0x43\n"
	if len(r.Proposals) != 1 || r.Proposals[0].YAML != want {
		t.Errorf("%+v, want:\n%s", r.Proposals, want)
	}
}

func TestTheLineIsShown(t *testing.T) {
	f := detect.Finder{
		Bus: shown(batterytest.MAX17048(), "one").On(), BusName: "/dev/i2c-1", Usual: true,
		LineAt: gpioline.Config{Chip: "pinctrl-rp1", Offset: 6}, Level: func(ctx context.Context) (bool, error) { return true, ctx.Err() },
	}
	r := f.Find(t.Context())
	if r.Line == nil || r.Line.Level != "high" || strings.Contains(r.Proposals[0].Why, "lost") || !strings.Contains(r.Proposals[1].Why, "line 6 is high, which on such a board means that the mains are lost") {
		t.Errorf("line %+v, proposals %+v", r.Line, r.Proposals)
	}
	f.Level = func(context.Context) (bool, error) { return false, gpioline.ErrBusy }
	if r := f.Find(t.Context()); r.Line.Fault == "" || r.Line.Level != "" {
		t.Errorf("a line that is taken: %+v", r.Line)
	}
}

func TestTheKernelAndNUTComeFirst(t *testing.T) {
	f := detect.Finder{
		Bus: shown(batterytest.SPC(), "two").On(), BusName: "/dev/i2c-1", Usual: true,
		Supplies: func() []string { return []string{"x120x-battery"} },
		UPSes:    func(context.Context) ([]string, error) { return []string{"desk"}, nil }, Server: "127.0.0.1:3493",
	}
	var got []string
	for _, p := range f.Find(t.Context()).Proposals {
		got = append(got, p.Source)
	}
	if !slices.Equal(got, []string{"power_supply", "nut", "spc"}) {
		t.Errorf("proposed in the order %q", got)
	}
	f.UPSes = func(context.Context) ([]string, error) { return nil, errors.New("connection refused") }
	if r := f.Find(t.Context()); len(r.UPSes) > 0 || len(r.Proposals) != 2 {
		t.Errorf("without a server: %+v", r)
	}
}

func TestNoBus(t *testing.T) {
	bus := new(batterytest.Bus)
	bus.Unplug(true)
	r := detect.Finder{Bus: bus, BusName: "/dev/i2c-1"}.Find(t.Context())
	if r.BusFault == "" || bus.Transfers() != 1 || len(r.Chips) > 0 {
		t.Errorf("%+v after %d transfers", r, bus.Transfers())
	}
	empty := new(batterytest.Bus)
	if r := (detect.Finder{Bus: empty}).Find(t.Context()); r.BusFault != "" || len(r.Chips) > 0 || len(r.Proposals) > 0 {
		t.Errorf("a bus without chips: %+v", r)
	}
}

var _ gauge.Bus = (*batterytest.Bus)(nil)
