package gauge

import (
	"context"
	"fmt"
	"time"

	"primespark/agent/battery"
)

// Registers of the INA219, each a 16-bit word, high byte first (Texas Instruments
// SBOS448, table 2). Those of power and current (3 to 5) need a calibration, which a dip
// of the supply resets unseen: they are not used.
const (
	regINAConfig = 0x00 // 0x399f after power-on
	regShunt     = 0x01 // signed, 10 µV a step
	regBus       = 0x02 // the upper 13 bits, 4 mV a step
)

// usualShunt is the resistor of Waveshare's boards, Ω, by the vendor's samples for all
// but the first UPS HAT, which has 0.1.
const usualShunt = 0.01

// How the sign of the current tells of the mains, with room for what an idle board draws
// besides: A, and how often in a row.
const (
	lostBelow  = -0.150
	lostAfter  = 3
	backAbove  = -0.050
	backAfter  = 5
	chargingAt = 0.055
)

// An ina219 measures the battery's voltage and current, + while it is charged. It knows no charge:
// that is told by the voltage, with the current's share taken out.
type ina219 struct {
	chip  chip
	shunt float64
	cells float64

	sense bySign
	level byVoltage
}

func openINA219(c Config, at chip) battery.Reader {
	g := &ina219{chip: at, shunt: c.Shunt, cells: float64(c.Cells), level: byVoltage{ohm: c.Ohm}}
	if g.shunt == 0 {
		g.shunt = usualShunt
	}
	return g
}

func (g *ina219) Read(ctx context.Context) (battery.Reading, error) {
	w, err := g.chip.words(ctx, regShunt, regBus)
	if err != nil {
		return battery.Reading{}, err
	}
	if w[1] == allZeros || w[1] == allOnes {
		return battery.Reading{}, fmt.Errorf("%w: bus voltage %#04x", battery.ErrImplausible, w[1])
	}
	pack := float64(w[1]>>3) * 4e-3
	amps := float64(int16(w[0])) * 10e-6 / g.shunt
	r := battery.Reading{
		Volts: battery.Volts(pack / g.cells),
		Amps:  battery.Known(amps),
		Load:  max(0, -amps*pack),
	}
	if err := r.Check(); err != nil {
		return battery.Reading{}, fmt.Errorf("%w (battery.cells is %v, battery.shunt_ohm %v: are they right?)", err, g.cells, g.shunt)
	}
	r.Mains = g.sense.add(amps)
	r.Charge = battery.Known(g.level.add(r.Volts, r.Amps, time.Now()))
	return r, nil
}

// bySign tells by the current whether the mains are there. It keeps its mind until
// enough readings in a row say otherwise.
type bySign struct {
	mains      battery.Maybe[bool]
	lost, back int
}

func (s *bySign) add(amps float64) battery.Maybe[bool] {
	s.lost, s.back = s.lost+1, s.back+1
	if amps >= lostBelow {
		s.lost = 0
	}
	if amps <= backAbove {
		s.back = 0
	}
	switch {
	case s.lost >= lostAfter:
		s.mains = battery.Known(false)
	case s.back >= backAfter:
		s.mains = battery.Known(true)
	}
	return s.mains
}
