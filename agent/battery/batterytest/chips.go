package batterytest

import (
	"math"

	"primespark/agent/battery/registers"
)

// A Pack is how a battery of some board is, in the units of people. Boards show of it
// what they can.
type Pack struct {
	Mains   bool
	Volts   float64 // of all cells in series
	Charge  float64 // 0 to 1
	Amps    float64 // into it
	Celsius float64
	Minutes float64 // left, for boards that reckon that
	PerHour float64 // change of the charge, of MAX17048
	Ending  bool    // the board asks for a shutdown
	Out     float64 // A to the Pi, at 5.1 V
}

// A Chip is one of a board with its usual address, and how it shows a pack.
type Chip struct {
	*registers.Chip
	Addr uint16
	show func(c *registers.Chip, p Pack)
}

// Show has the chip show a pack. On a bus that is in use, call it in Bus.Do.
func (c Chip) Show(p Pack) { c.show(c.Chip, p) }

// On puts the chip on a bus of its own.
func (c Chip) On() *Bus { return new(Bus).Add(c.Addr, c.Chip) }

// little sets a word of a board whose low byte comes first, big one whose high byte does.
func little(c *registers.Chip, reg byte, x float64) {
	v := uint16(int32(math.Round(x)))
	c.Set(reg, v&0xff, v>>8)
}

func big(c *registers.Chip, reg byte, x float64) {
	v := uint16(int32(math.Round(x)))
	c.Set(reg, v>>8, v&0xff)
}

func yes(b bool, mask uint16) uint16 {
	if b {
		return mask
	}
	return 0
}

// MAX17048 is the gauge of X120x boards. MAX17040 is its forerunner, without a rate.
func MAX17048() Chip { return max1704x(0x0012) }

// MAX17040 is the gauge of older boards.
func MAX17040() Chip { return max1704x(0x0002) }

func max1704x(version uint16) Chip {
	c := registers.Words()
	c.Set(0x08, version)
	c.Set(0x0c, 0x971c)
	return Chip{c, 0x36, func(c *registers.Chip, p Pack) {
		c.Set(0x02, uint16(math.Round(p.Volts/78.125e-6)))
		c.Set(0x04, uint16(math.Round(p.Charge*100*256)))
		c.Set(0x16, uint16(int16(math.Round(p.PerHour*100/0.208))))
	}}
}

// INA219 is the meter of Waveshare's HATs for two cells, with a shunt of 0.01 Ω.
func INA219() Chip {
	c := registers.Words()
	c.Set(0x00, 0x399f)
	return Chip{c, 0x42, func(c *registers.Chip, p Pack) {
		c.Set(0x01, uint16(int16(math.Round(p.Amps*0.01/10e-6))))
		c.Set(0x02, uint16(math.Round(p.Volts/4e-3))<<3|2)
	}}
}

// WaveshareE is the UPS HAT (E): four cells.
func WaveshareE() Chip {
	c := registers.Bytes()
	c.Set(0x00, 0x0a, 0x0b, 0, 0x03)
	return Chip{c, 0x2d, func(c *registers.Chip, p Pack) {
		c.Set(0x02, yes(p.Mains, 0x20)|yes(p.Amps > 0, 0x82))
		little(c, 0x20, p.Volts*1000)
		little(c, 0x22, p.Amps*1000)
		little(c, 0x24, p.Charge*100)
		left := p.Minutes
		if p.Mains {
			left = 65535
		}
		little(c, 0x28, left)
		for cell := range byte(4) {
			little(c, 0x30+2*cell, p.Volts*250)
		}
	}}
}

// PiSugar3 is one cell with its firmware's version.
func PiSugar3() Chip {
	c := registers.Bytes()
	for i, letter := range "1.3.4" {
		c.Set(0xe2+byte(i), uint16(letter))
	}
	return Chip{c, 0x57, func(c *registers.Chip, p Pack) {
		c.Set(0x02, yes(p.Mains, 0x80)|0x60, yes(p.Ending, 0x08), uint16(math.Round(p.Celsius+40)))
		big(c, 0x22, p.Volts*1000)
		big(c, 0x26, p.Out*1000)
		c.Set(0x2a, uint16(math.Round(p.Charge*100)))
	}}
}

// UPSGen6 is 52Pi's sixth: two cells, and no charge.
func UPSGen6() Chip {
	c := registers.Bytes()
	c.Set(0x00, 0xa6, 0x01)
	return Chip{c, 0x17, func(c *registers.Chip, p Pack) {
		little(c, 0x0e, 5100)
		little(c, 0x10, float64(yes(p.Mains, 9000)))
		little(c, 0x12, p.Volts*1000)
		little(c, 0x16, p.Out*1000)
		little(c, 0x1a, p.Amps*1000)
		c.Set(0x1c, uint16(uint8(int8(p.Celsius))))
	}}
}

// UPSPlus is 52Pi's EP-0136.
func UPSPlus() Chip {
	c := registers.Bytes()
	return Chip{c, 0x17, func(c *registers.Chip, p Pack) {
		little(c, 0x01, 3300)
		little(c, 0x05, p.Volts*1000)
		little(c, 0x07, 0)
		little(c, 0x09, float64(yes(p.Mains, 5080)))
		little(c, 0x0b, p.Celsius)
		little(c, 0x13, p.Charge*100)
		c.Set(0x17, 1)
	}}
}

// SPC is SunFounder's controller, of a PiPower 5.
func SPC() Chip {
	c := registers.Bytes()
	return Chip{c, 0x5c, func(c *registers.Chip, p Pack) {
		little(c, 0x00, float64(yes(p.Mains, 5100)))
		little(c, 0x04, 5100)
		little(c, 0x06, p.Out*1000)
		little(c, 0x08, p.Volts*1000)
		little(c, 0x0a, p.Amps*1000)
		c.Set(0x0c, uint16(math.Round(p.Charge*100)))
		c.Set(0x0f, yes(!p.Mains, 1), yes(p.Mains, 1), 1, yes(p.Amps > 0, 1), 0, yes(p.Ending, 1))
	}}
}
