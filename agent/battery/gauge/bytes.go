package gauge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"primespark/agent/battery"
)

// A controller reads a board with byte registers.
type controller struct {
	board
	chip  chip
	cells int
	level byVoltage // where the board tells no charge
}

func (b board) open(c Config, at chip) battery.Reader {
	return &controller{board: b, chip: at, cells: c.Cells, level: byVoltage{ohm: c.Ohm}}
}

// image are the registers that were read. Those that were not are 0.
type image [256]byte

func (c *controller) Read(ctx context.Context) (battery.Reading, error) {
	m, err := c.image(ctx)
	if err != nil {
		return battery.Reading{}, err
	}
	if err := c.identity(&m); err != nil {
		return battery.Reading{}, fmt.Errorf("%w: %w; is battery.source right?", battery.ErrImplausible, err)
	}
	for _, ok := range c.healthy {
		if !m.has(ok) {
			return battery.Reading{}, fmt.Errorf("the board's controller has lost a chip (register %#02x is %#02x), and what it shows is old: switch it off and on", ok.reg, m[ok.reg])
		}
	}
	r, err := c.decode(&m)
	if err != nil {
		return battery.Reading{}, err
	}
	if c.charge.scale == 0 {
		r.Charge = battery.Known(c.level.add(r.Volts, r.Amps, time.Now()))
	}
	return r, nil
}

// identity refuses registers that are no board's of this kind.
func (b board) identity(m *image) error {
	for _, id := range b.id {
		if m[id.reg] != id.value {
			return fmt.Errorf("register %#02x is %#02x, and %#02x on a %s", id.reg, m[id.reg], id.value, b.boards)
		}
	}
	for _, reg := range b.boolean {
		if m[reg] > 1 {
			return fmt.Errorf("register %#02x is %#02x, and 0 or 1 on a %s", reg, m[reg], b.boards)
		}
	}
	return nil
}

// decode makes a reading of the registers.
func (c *controller) decode(m *image) (battery.Reading, error) {
	pack := c.pack.of(m, c.order)
	if pack <= 0 {
		return battery.Reading{}, fmt.Errorf("%w: the battery has %v V", battery.ErrImplausible, pack)
	}
	r := battery.Reading{
		Volts:    battery.Volts(pack / float64(c.cells)),
		Amps:     c.amps.maybe(m, c.order),
		Celsius:  c.celsius.maybe(m, c.order),
		Shutdown: m.has(c.ending),
	}
	for _, cell := range c.weakest {
		r.Volts = min(r.Volts, battery.Volts(cell.of(m, c.order)))
	}
	if c.charge.scale != 0 {
		r.Charge = battery.Known(battery.Charge(c.charge.of(m, c.order)))
	}
	if c.output[0].scale != 0 {
		r.Load = c.output[0].of(m, c.order) * c.output[1].of(m, c.order)
	}
	switch {
	case c.mains.mask != 0:
		r.Mains = battery.Known(m.has(c.mains))
	case len(c.inputs) > 0:
		r.Mains = battery.Known(false)
		for _, v := range c.inputs {
			if v.of(m, c.order) > inputVolts {
				r.Mains = battery.Known(true)
			}
		}
	}
	if left := c.minutes.maybe(m, c.order); r.Mains.Is(false) && left.Value != allOnes { // all ones: it does not know
		r.Minutes = left
	}
	return r, nil
}

func (m *image) has(f flag) bool { return m[f.reg]&f.mask != 0 }

// of returns the number in the registers, in its unit.
func (v value) of(m *image, order binary.ByteOrder) float64 {
	var raw float64
	switch at := m[v.reg : int(v.reg)+int(v.size)]; {
	case v.size == 2 && v.signed:
		raw = float64(int16(order.Uint16(at)))
	case v.size == 2:
		raw = float64(order.Uint16(at))
	case v.signed:
		raw = float64(int8(at[0]))
	default:
		raw = float64(at[0])
	}
	return raw*v.scale + v.offset
}

// maybe returns the number if the board has it.
func (v value) maybe(m *image, order binary.ByteOrder) battery.Maybe[float64] {
	if v.scale == 0 {
		return battery.Maybe[float64]{}
	}
	return battery.Known(v.of(m, order))
}

// errUnsteady is a register that reads otherwise the second time.
var errUnsteady = errors.New("a register reads otherwise at once again")

// image reads the registers of the board.
func (c *controller) image(ctx context.Context) (m image, err error) {
	for _, s := range c.spans {
		if err := c.span(ctx, &m, s); err != nil {
			return m, err
		}
	}
	for _, reg := range c.control {
		if err := c.same(ctx, &m, reg); err != nil {
			return m, err
		}
	}
	if c.slow {
		for _, v := range c.words() {
			if err := c.same(ctx, &m, v.upper(c.order)); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

func (c *controller) span(ctx context.Context, m *image, s span) error {
	step := s.n
	if c.slow {
		step = 1
	}
	for at := s.from; at < s.from+s.n; at += step {
		b, err := c.chip.read(ctx, at, int(step))
		if err != nil {
			return err
		}
		copy(m[at:], b)
	}
	return nil
}

// same reads a register again and refuses another value.
func (c *controller) same(ctx context.Context, m *image, reg byte) error {
	b, err := c.chip.read(ctx, reg, 1)
	if err == nil && b[0] != m[reg] {
		err = fmt.Errorf("%w: %w: %#02x is %#02x and %#02x", battery.ErrImplausible, errUnsteady, reg, m[reg], b[0])
	}
	return err
}

// words are the numbers of two registers.
func (c *controller) words() (all []value) {
	for _, v := range append([]value{c.pack, c.charge, c.amps, c.celsius, c.minutes, c.output[0], c.output[1]}, c.inputs...) {
		if v.size == 2 {
			all = append(all, v)
		}
	}
	return all
}

// upper is the register of a word's upper byte.
func (v value) upper(order binary.ByteOrder) byte {
	if order == binary.LittleEndian {
		return v.reg + 1
	}
	return v.reg
}
