package gauge

import (
	"context"
	"fmt"

	"primespark/agent/battery"
)

// Registers of the MAX17040 to MAX17059, each a 16-bit word, high byte first (datasheets
// of MAX17043 and MAX17048, register summaries).
const (
	regVCell   = 0x02 // 78.125 µV a step, of one cell also where two are in series
	regSOC     = 0x04 // 1/256 % a step
	regVersion = 0x08 // 0x001x: MAX17048 and newer, which have regCRate
	regConfig  = 0x0c // 0x971c after power-on
	regCRate   = 0x16 // signed, 0.208 % an hour a step
)

const (
	allOnes  = 0xffff // what a bus reads that nobody drives
	allZeros = 0x0000
)

// A max1704x is a fuel gauge by voltage alone: it knows neither the current nor whether
// the mains are there. Its quick start is never used: at 0 % it spoils the model at the
// worst moment.
type max1704x struct{ chip chip }

func openMAX1704x(_ Config, c chip) battery.Reader { return max1704x{c} }

func (g max1704x) Read(ctx context.Context) (battery.Reading, error) {
	w, err := g.chip.words(ctx, regVCell, regSOC, regVersion)
	if err != nil {
		return battery.Reading{}, err
	}
	vcell, soc, version := w[0], w[1], w[2]
	// A charge of 0 may be true; a voltage of 0 is not.
	if vcell == allZeros || vcell == allOnes || soc == allOnes {
		return battery.Reading{}, fmt.Errorf("%w: VCELL %#04x, SOC %#04x", battery.ErrImplausible, vcell, soc)
	}
	r := battery.Reading{
		Volts:  battery.Volts(float64(vcell) * 78.125e-6),
		Charge: battery.Known(battery.Charge(float64(soc) / 256 / 100)),
	}
	if version&0xfff0 == 0x0010 {
		rate, err := g.chip.word(ctx, regCRate)
		if err != nil {
			return battery.Reading{}, err
		}
		r.PerHour = battery.Known(float64(int16(rate)) * 0.208 / 100)
	}
	return r, nil
}
