package gauge

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"primespark/agent/battery"
)

// Evidence is what the chip at an address shows of being a model's.
type Evidence struct {
	Registers []Register
	Shows     string // what a driver would read there
	// Signed: the chip says who it is. Otherwise its figures are merely plausible, which
	// other chips' may be, too.
	Signed bool
	Err    error // why this is no such chip; nil if it fits
}

// A Register is one as it was read.
type Register struct {
	Reg   byte
	Bytes []byte
}

func (r Register) String() string { return fmt.Sprintf("%#02x=%#x", r.Reg, r.Bytes) }

// identify reads what tells the models of a driver from other chips. It reads the
// registers that the driver reads, and a few more; nothing is written but the number of a register.
type identify func(ctx context.Context, m Model, at chip) Evidence

// Identify looks whether the chip at an address may be this model's.
func (m Model) Identify(ctx context.Context, bus Bus, address uint16) Evidence {
	if m.identify == nil {
		return Evidence{Err: fmt.Errorf("%s: %w", m.Source, ErrNone)}
	}
	e := m.identify(ctx, m, chip{bus: bus, addr: address})
	if e.Err != nil {
		return e
	}
	reader, err := New(Config{Source: m.Source, Address: address}, bus)
	if err != nil {
		e.Err = err
		return e
	}
	r, err := reader.Read(ctx)
	if err != nil {
		e.Err = err
		return e
	}
	e.Shows = describe(r)
	return e
}

// describe says what a gauge told.
func describe(r battery.Reading) string {
	text := fmt.Sprintf("%.3f V a cell", r.Volts)
	if r.Charge.Known {
		text += fmt.Sprintf(", %.1f %%", 100*r.Charge.Value)
	}
	if r.Amps.Known {
		text += fmt.Sprintf(", %+.3f A", r.Amps.Value)
	}
	if r.Celsius.Known {
		text += fmt.Sprintf(", %.0f °C", r.Celsius.Value)
	}
	if r.Mains.Known {
		text += map[bool]string{true: ", mains", false: ", no mains"}[r.Mains.Value]
	}
	return text
}

// note reads a word and keeps it as evidence.
func (e *Evidence) note(ctx context.Context, at chip, reg byte) uint16 {
	if e.Err != nil {
		return 0
	}
	b, err := at.read(ctx, reg, 2)
	if err != nil {
		e.Err = err
		return 0
	}
	e.Registers = append(e.Registers, Register{reg, b})
	return binary.BigEndian.Uint16(b)
}

// isMAX1704x asks for the version, which is 0x000x or 0x001x, and a cell's voltage.
func isMAX1704x(ctx context.Context, _ Model, at chip) (e Evidence) {
	version := e.note(ctx, at, regVersion)
	config := e.note(ctx, at, regConfig)
	vcell := e.note(ctx, at, regVCell)
	e.note(ctx, at, regSOC)
	volts := float64(vcell) * 78.125e-6
	switch {
	case e.Err != nil:
	case version == 0 || version > 0x001f:
		e.Err = fmt.Errorf("version %#04x is none of a MAX1704x", version)
	case volts < 2.5 || volts > 4.4:
		e.Err = fmt.Errorf("%.3f V is no cell's voltage", volts)
	}
	e.Signed = config>>8 == 0x97 // as after power-on: few chips have that
	return e
}

// isINA219 asks for the configuration, as after power-on or at least one that can be,
// and for a battery's voltage.
func isINA219(ctx context.Context, m Model, at chip) (e Evidence) {
	config := e.note(ctx, at, regINAConfig)
	e.note(ctx, at, regShunt)
	bus := e.note(ctx, at, regBus)
	cells := float64(m.usualCells(at.addr))
	volts := float64(bus>>3) * 4e-3 / cells
	switch {
	case e.Err != nil:
	case config == 0 || config&0xc000 != 0: // no reset, and a bit that is always 0
		e.Err = fmt.Errorf("configuration %#04x is none of an INA219", config)
	case volts < 2.5 || volts > 4.4:
		e.Err = fmt.Errorf("%.3f V a cell is no battery's voltage with %v in series", volts, cells)
	}
	e.Signed = config == 0x399f
	return e
}

// isBoard asks for what stands on the board at all times.
func (b board) identify(ctx context.Context, _ Model, at chip) (e Evidence) {
	c := controller{board: b, chip: at, cells: b.cells}
	for _, s := range slices.Concat(b.spans, b.signature) {
		var m image
		if e.Err = c.span(ctx, &m, s); e.Err != nil {
			return e
		}
		e.Registers = append(e.Registers, Register{s.from, slices.Clone(m[s.from : s.from+s.n])})
	}
	var m image
	for _, r := range e.Registers {
		copy(m[r.Reg:], r.Bytes)
	}
	e.Signed = len(b.id) > 0
	if e.Err = b.identity(&m); e.Err == nil && b.signed != nil {
		e.Signed, e.Err = true, b.signed(&m)
	}
	return e
}

// version refuses registers that hold no firmware's version, as in "1.3.4".
func version(from byte) func(m *image) error {
	return func(m *image) error {
		digits := 0
		for i := from; i < from+5; i++ {
			switch c := m[i]; {
			case c >= '0' && c <= '9':
				digits++
			case c != '.' && (c != 0 || digits == 0):
				return fmt.Errorf("registers %#02x on are %#x, no version of a firmware", from, m[from:from+5])
			}
		}
		if digits == 0 {
			return fmt.Errorf("registers %#02x on are %#x, no version of a firmware", from, m[from:from+5])
		}
		return nil
	}
}

// supplied refuses a controller that shows no supply of its own, in mV from reg on.
func supplied(reg byte) func(m *image) error {
	return func(m *image) error {
		if mv := binary.LittleEndian.Uint16(m[reg:]); mv < 2800 || mv > 3700 {
			return fmt.Errorf("registers %#02x on say that the controller runs at %d mV, not 3.3 V", reg, mv)
		}
		return nil
	}
}

// Supplies are the batteries that the kernel has a driver for, by name.
func Supplies(root string) []string {
	return openSupply(Config{Root: root, Cells: 1}, chip{}).(supply).batteries()
}

// UPSes are those of a server of Network UPS Tools, by name.
func UPSes(ctx context.Context, c Config) ([]string, error) {
	return openNUT(c, chip{}).(nut).names(ctx)
}
