package config

import (
	"fmt"
	"math"
	"path/filepath"
	"time"

	"primespark/shared/conf"
)

// I2C configures the bus that UPS boards hang on.
type I2C struct {
	Bus string `yaml:"bus"` // path of the device, or of a file of registers
}

// Battery configures where the state of charge comes from.
type Battery struct {
	Source   string        `yaml:"source"`       // none, sim, or a board
	Every    conf.Duration `yaml:"every"`        // between recorded samples
	Address  int           `yaml:"address"`      // of the chip; 0: the usual one
	Cells    int           `yaml:"cells"`        // in series; 0: the usual number
	Capacity float64       `yaml:"capacity_mah"` // of the battery; 0: not known
	CellOhm  float64       `yaml:"cell_ohm"`     // inner resistance
	ShuntOhm float64       `yaml:"shunt_ohm"`    // of an INA219
	Supply   string        `yaml:"supply"`       // of the kernel; empty: the first battery
	NUT      NUT           `yaml:"nut"`
	Line     Line          `yaml:"line"`
	Script   []Point       `yaml:"script"` // sim: what happens when, interpolated in between
}

// NUT configures a UPS behind Network UPS Tools.
type NUT struct {
	Server string `yaml:"server"` // host:port
	UPS    string `yaml:"ups"`    // its name; empty: the only one
}

// Line configures the power-loss line of a UPS board.
type Line struct {
	Mains  string `yaml:"mains"`  // level while the mains are there: high or low; auto, or none
	Chip   string `yaml:"chip"`   // label or path
	Offset int    `yaml:"offset"` // of the line in the chip
	Bias   string `yaml:"bias"`   // up, down, none or as-is
}

// A Point is one moment of a simulated battery.
type Point struct {
	T     conf.Duration `yaml:"t"` // since start
	Mains bool          `yaml:"mains"`
	SoC   float64       `yaml:"soc"`  // state of charge, 0 to 1
	Load  float64       `yaml:"load"` // W
}

// Sources are what battery.source may be.
func Sources() []string {
	return []string{
		"none", "x120x", "x728", "max1704x", "waveshare-ina219", "waveshare-e", "pisugar3", "upsgen6", "upsplus", "spc", "power_supply", "nut", "sim",
	}
}

func defaultBattery() Battery {
	return Battery{
		Source: "none", Every: conf.Duration(10 * time.Second), CellOhm: 0.06, ShuntOhm: 0.01,
		NUT:    NUT{Server: "127.0.0.1:3493"},
		Line:   Line{Mains: Auto, Chip: "pinctrl-rp1", Offset: 6, Bias: "up"},
		Script: []Point{},
	}
}

func (c Battery) check(f *conf.File) {
	f.CheckOneOf("battery.source", c.Source, Sources()...)
	f.CheckEvery("battery.every", c.Every, time.Second, 10*time.Minute)
	if c.Address != 0 && (c.Address < 0x08 || c.Address > 0x77) {
		f.Bad("battery.address", "%#02x is no address of a chip; give 0x08 to 0x77, or 0 for the usual one", c.Address)
	}
	if c.Cells < 0 || c.Cells > 16 {
		f.Bad("battery.cells", "%d is not a number of cells in series; give 1 to 16, or 0 as the board has them", c.Cells)
	}
	if !(c.Capacity >= 0 && c.Capacity <= 1e6) { // also what is no number
		f.Bad("battery.capacity_mah", "%v is not a capacity; give it in mAh, as in 5000, or 0", c.Capacity)
	}
	if !(c.CellOhm >= 0 && c.CellOhm <= 1) {
		f.Bad("battery.cell_ohm", "%v Ω is not between 0 and 1; 0.06 is usual for one cell, 0.015 for four in parallel", c.CellOhm)
	}
	if !(c.ShuntOhm > 0 && c.ShuntOhm <= 1) {
		f.Bad("battery.shunt_ohm", "%v Ω is not above 0 and at most 1; it is 0.01, or 0.1 on the first UPS HAT", c.ShuntOhm)
	}
	if c.Supply != "" && c.Supply != filepath.Base(c.Supply) {
		f.Bad("battery.supply", "%q is not a name in /sys/class/power_supply; ls shows them", c.Supply)
	}
	f.CheckHostPort("battery.nut.server", c.NUT.Server)
	c.Line.check(f)
	c.checkScript(f)
}

func (c Line) check(f *conf.File) {
	f.CheckOneOf("battery.line.mains", c.Mains, Auto, "high", "low", "none")
	f.CheckOneOf("battery.line.bias", c.Bias, "up", "down", "none", "as-is")
	if c.Chip == "" {
		f.Bad("battery.line.chip", "is empty; give the chip's label, as in pinctrl-rp1; gpiodetect shows them")
	}
	if c.Offset < 0 || c.Offset > math.MaxUint16 {
		f.Bad("battery.line.offset", "%d is no line of a chip; give the number of the GPIO, as in 6", c.Offset)
	}
}

func (c Battery) checkScript(f *conf.File) {
	if c.Source == "sim" && len(c.Script) == 0 {
		f.Bad("battery.script", "is empty; give the simulation at least one point, as in {t: 0s, mains: true, soc: 0.9, load: 5}")
	}
	for i, p := range c.Script {
		key := fmt.Sprintf("battery.script[%d]", i)
		if p.SoC < 0 || p.SoC > 1 {
			f.Bad(key+".soc", "%v is not a state of charge; give 0 to 1, as in 0.85", p.SoC)
		}
		if p.Load < 0 || p.Load > 100 {
			f.Bad(key+".load", "%v W is not a load of a Pi; give 0 to 100, as in 5", p.Load)
		}
		if i > 0 && p.T <= c.Script[i-1].T {
			f.Bad(key+".t", "%v does not come after the point before it, %v; put the points in order", p.T, c.Script[i-1].T)
		}
	}
}
