package gauge

import (
	"encoding/binary"
	"math"
	"time"
)

// A board is a UPS board whose controller shows its figures as byte registers. One
// driver reads all of them; a row says where what is.
type board struct {
	source, boards string
	addresses      []uint16
	cells          int // in series
	order          binary.ByteOrder
	spans          []span // what is read, in this order
	// slow controllers have no blocks: each register is a transfer of its own, and the
	// upper byte of a word is read once more, since the word may change in between.
	slow    bool
	control []byte // registers that have to read the same twice

	id      []constant // what has to stand there
	boolean []byte     // registers that are 0 or 1
	// Read besides when the board is looked for, and what has to stand there.
	signature []span
	signed    func(m *image) error

	healthy []flag // what has to be set, else the other figures are stale

	pack    value   // V, all cells in series
	weakest []value // V, of single cells; the lowest counts
	charge  value   // 0 to 1; without one the charge is told by the voltage
	amps    value   // A, into the battery
	celsius value
	minutes value    // until it is empty
	output  [2]value // V and A to the Pi

	mains  flag    // the mains are there
	inputs []value // V; the mains are there if one has more than 4
	ending flag    // the board asks for a shutdown

	cut  *Cut
	wake func(volts float64) [][]byte // of all cells, from which on it switches the host on
}

type (
	span     struct{ from, n byte }
	constant struct{ reg, value byte }
	flag     struct{ reg, mask byte } // any of these bits; no mask: there is no such flag
)

// A value is a number in one register or two. Without a scale there is no such value.
type value struct {
	reg    byte
	size   byte // bytes
	signed bool
	scale  float64
	offset float64
}

func milli(reg byte) value       { return value{reg: reg, size: 2, scale: 1e-3} }
func signedMilli(reg byte) value { return value{reg: reg, size: 2, signed: true, scale: 1e-3} }
func percent(reg, size byte) value {
	return value{reg: reg, size: size, scale: 1e-2}
}

// inputVolts is what an input has at least while the mains are there.
const inputVolts = 4.0

// boards are the rows, by the makers' register tables. What is not public was read in
// the programs that they sell them with.
var boards = []board{
	{ // waveshare.com/wiki/UPS_HAT_(E)_Register
		source: "waveshare-e", boards: "Waveshare UPS HAT (E)", addresses: []uint16{0x2d}, cells: 4, order: binary.LittleEndian,
		spans: []span{{0x00, 4}, {0x20, 0x18}},
		id:    []constant{{0x00, 0x0a}}, healthy: []flag{{0x03, 0x02}, {0x03, 0x01}},
		pack: milli(0x20), weakest: []value{milli(0x30), milli(0x32), milli(0x34), milli(0x36)},
		charge: percent(0x24, 2), amps: signedMilli(0x22), minutes: value{reg: 0x28, size: 2, scale: 1}, mains: flag{0x02, 0x20},
		cut: &Cut{Delay: 30 * time.Second, writes: func(byte) [][]byte { return [][]byte{{0x01, 0x55}} }},
	},
	{ // PiSugar's pisugar-power-manager-rs, PiSugar 3
		source: "pisugar3", boards: "PiSugar 3 and 3 Plus", addresses: []uint16{0x57}, cells: 1, order: binary.BigEndian, slow: true,
		spans: []span{{0x02, 3}, {0x22, 2}, {0x2a, 1}}, control: []byte{0x02, 0x03},
		signature: []span{{0xe2, 5}}, signed: version(0xe2),
		pack: milli(0x22), charge: percent(0x2a, 1), celsius: value{reg: 0x04, size: 1, scale: 1, offset: -40},
		mains: flag{0x02, 0x80}, ending: flag{0x03, 0x08},
		// 0x0b opens the registers (0x29) and closes them (0), from firmware 1.24 on. What
		// stays set in 0x02 has it charge, and switch on again when the mains are back.
		cut: &Cut{writes: func(byte) [][]byte { return [][]byte{{0x0b, 0x29}, {0x02, 0x50}, {0x0b, 0x00}} }},
	},
	{ // github.com/geeekpi/upsv6_pub
		source: "upsgen6", boards: "52Pi UPS Gen 6 (EP-0245, EP-0250)", addresses: []uint16{0x17}, cells: 2, order: binary.LittleEndian, slow: true,
		spans: []span{{0x00, 2}, {0x0e, 6}, {0x16, 7}},
		id:    []constant{{0x00, 0xa6}},
		pack:  milli(0x12), amps: signedMilli(0x1a), celsius: value{reg: 0x1c, size: 1, signed: true, scale: 1}, output: [2]value{milli(0x0e), milli(0x16)},
		inputs: []value{milli(0x10)},
		cut:    &Cut{Countdown: true, Longest: 255 * time.Second, writes: func(s byte) [][]byte { return [][]byte{{0x23, s}} }},
		wake: func(volts float64) [][]byte {
			mV := uint16(math.Round(volts * 1000))
			return [][]byte{{0x25, byte(mV), byte(mV >> 8)}}
		},
	},
	{ // github.com/geeekpi/upsplus; the voltage is wrong while it charges, and so the charge is asked for
		source: "upsplus", boards: "52Pi UPSPlus (EP-0136)", addresses: []uint16{0x17}, cells: 1, order: binary.LittleEndian, slow: true,
		spans: []span{{0x05, 8}, {0x13, 2}, {0x17, 1}}, signature: []span{{0x01, 2}}, signed: supplied(0x01),
		pack: milli(0x05), charge: percent(0x13, 2), celsius: value{reg: 0x0b, size: 2, signed: true, scale: 1},
		inputs: []value{milli(0x07), milli(0x09)},
		cut:    &Cut{Countdown: true, Longest: 255 * time.Second, writes: func(s byte) [][]byte { return [][]byte{{0x19, 1}, {0x18, s}} }}, // and on again with the mains
	},
	{ // github.com/sunfounder/spc; the board cuts the power by itself once the Pi is down
		source: "spc", boards: "SunFounder PiPower 5 and 3, Pironman U1", addresses: []uint16{0x5c, 0x5b, 0x5a}, cells: 2, order: binary.LittleEndian,
		spans: []span{{0x00, 21}}, boolean: []byte{0x0f, 0x10, 0x12},
		pack: milli(0x08), charge: percent(0x0c, 1), amps: signedMilli(0x0a), output: [2]value{milli(0x04), milli(0x06)},
		mains: flag{0x10, 0xff}, ending: flag{0x14, 0xff},
	},
}

// byteBoards are the rows as models.
func byteBoards() []Model {
	all := make([]Model, len(boards))
	for i, b := range boards {
		all[i] = Model{
			Source: b.source, Boards: b.boards, Addresses: b.addresses, Cells: b.cells, Cut: b.cut, wake: b.wake,
			open: b.open, identify: b.identify,
		}
	}
	return all
}
