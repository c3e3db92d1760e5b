// Package gauge holds the drivers of batteries: fuel gauges and the controllers of UPS
// boards on an I²C bus, batteries that the kernel has a driver for, and UPSes behind
// Network UPS Tools.
//
// A driver only reads, never writes: no quick start, no configuration, no calibration.
// It refuses what its chip cannot mean with battery.ErrImplausible, and leaves to others
// what to make of a value that jumps or sticks. Which board a node has is configured;
// nothing is found out by trying, since other chips share the addresses.
package gauge

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"primespark/agent/battery"
)

// A Bus does transactions with chips, each within its context.
type Bus interface {
	TxContext(ctx context.Context, addr uint16, w, r []byte) error
}

// Config says which gauge a node has, and what the gauge cannot know. What is zero is as
// the board usually has it.
type Config struct {
	Source   string  // name of a Model
	Address  uint16  // of the chip on the bus
	Cells    int     // in series
	Ohm      float64 // inner resistance of a cell, for those whose charge is told by the voltage
	Shunt    float64 // Ω, INA219
	Supply   string  // name of the kernel's power supply; the first battery if empty
	NUT      string  // host:port of the NUT server
	UPS      string  // its name there; the only one if empty
	Root     string  // of the file system, for the kernel's; empty: "/"
	Dial     func(ctx context.Context, network, address string) (net.Conn, error)
	Capacity float64 // Ah
}

// A Model is a family of boards that a driver reads.
type Model struct {
	Source    string   // its name in the configuration
	Boards    string   // which those are, for people
	Addresses []uint16 // where the chip is, the usual one first; none: not on a bus
	Cells     int      // in series, usually
	Line      *Line    // that senses the mains, where the gauge does not
	Cut       *Cut     // how the board cuts its power; nil: it cannot, or does it by itself
	wake      func(volts float64) [][]byte
	open      func(Config, chip) battery.Reader
	identify  identify // nil for what is not on a bus
}

// A Line is the power-loss line of a board, on the Pi's header.
type Line struct {
	Offset int  // number of the GPIO
	Low    bool // low while the mains are there
}

// StartsAt are the bytes to write to the board, each one transaction, so that it switches
// the host on no sooner than its cells have a charge; none if it cannot.
func (m Model) StartsAt(charge battery.Charge, cells int) [][]byte {
	if m.wake == nil {
		return nil
	}
	if cells == 0 {
		cells = m.Cells
	}
	return m.wake(float64(voltsAtRest(charge)) * float64(cells))
}

// Models are all that there are, the commonest first.
func Models() []Model { return slices.Clone(models) }

var models = slices.Concat([]Model{
	{
		Source: "x120x", Boards: "Geekworm/SupTronics X1200 to X1209", Addresses: []uint16{0x36, 0x55, 0x32, 0x62}, Cells: 1,
		Line: &Line{Offset: 6}, open: openMAX1704x, identify: isMAX1704x,
	},
	{
		Source: "x728", Boards: "Geekworm X728, X729, X708 (sense of the line by the vendor's scripts: pull the plug to see)", Addresses: []uint16{0x36}, Cells: 1,
		Line: &Line{Offset: 6, Low: true}, open: openMAX1704x, identify: isMAX1704x,
	},
	{
		Source: "max1704x", Boards: "any with a MAX17040 to MAX17059 and no power-loss line, or one that battery.line names", Addresses: []uint16{0x36}, Cells: 1,
		open: openMAX1704x, identify: isMAX1704x,
	},
	{
		Source: "waveshare-ina219", Boards: "Waveshare UPS HAT, (B), (C), (D), UPS 3S, and others with an INA219", Addresses: []uint16{0x42, 0x43, 0x41, 0x40, 0x44, 0x45}, Cells: 2,
		open: openINA219, identify: isINA219,
	},
}, byteBoards(), []Model{
	{Source: "power_supply", Boards: "whatever the kernel has a driver for: x120x-dkms, PiSugar's module, smart batteries", open: openSupply},
	{Source: "nut", Boards: "a UPS at USB or in the network, by a server of Network UPS Tools", open: openNUT},
})

// Find returns the model of a source's name.
func Find(source string) (Model, bool) {
	i := slices.IndexFunc(models, func(m Model) bool { return m.Source == source })
	if i < 0 {
		return Model{}, false
	}
	return models[i], true
}

// New returns the reader of a gauge, which reads nothing yet. bus may be nil for models
// without an address.
func New(c Config, bus Bus) (battery.Reader, error) {
	m, ok := Find(c.Source)
	if !ok {
		return nil, fmt.Errorf("battery.source: there is no %q", c.Source)
	}
	if c.Address == 0 && len(m.Addresses) > 0 {
		c.Address = m.Addresses[0]
	}
	if c.Cells == 0 {
		c.Cells = m.usualCells(c.Address)
	}
	if c.Ohm == 0 {
		c.Ohm = usualOhm
	}
	return &shared{of: m.open(c, chip{bus: bus, addr: c.Address})}, nil
}

// shared is a reader that is safe to share: some drivers remember what they read.
type shared struct {
	mu sync.Mutex
	of battery.Reader
}

// Read reads the gauge, one caller at a time.
func (s *shared) Read(ctx context.Context) (battery.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.of.Read(ctx)
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		return battery.Reading{}, err
	}
	return r, nil
}

// usualCells is how many cells there are in series. Waveshare's boards with an INA219
// tell by its address: one at 0x43, three at 0x41, else two.
func (m Model) usualCells(address uint16) int {
	if m.Source == "waveshare-ina219" {
		switch address {
		case 0x43:
			return 1
		case 0x41:
			return 3
		}
	}
	return max(m.Cells, 1)
}

// A chip is one address of a bus.
type chip struct {
	bus  Bus
	addr uint16
}

// read reads registers from reg on.
func (c chip) read(ctx context.Context, reg byte, n int) ([]byte, error) {
	r := make([]byte, n)
	return r, c.bus.TxContext(ctx, c.addr, []byte{reg}, r)
}

// word reads a register of 16 bits, high byte first.
func (c chip) word(ctx context.Context, reg byte) (uint16, error) {
	r, err := c.read(ctx, reg, 2)
	return binary.BigEndian.Uint16(r), err
}

// words reads several such registers.
func (c chip) words(ctx context.Context, regs ...byte) ([]uint16, error) {
	all := make([]uint16, len(regs))
	for i, reg := range regs {
		var err error
		if all[i], err = c.word(ctx, reg); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A Cut is how a board cuts its power after the host has halted.
type Cut struct {
	// Countdown: the register takes the seconds until then, and 0 takes it back, so it is
	// written before the halt. Otherwise the power goes at once or soon, and the write
	// belongs to the very end of the shutdown. Never before a reboot.
	Countdown bool
	Longest   time.Duration // of a countdown
	Delay     time.Duration // until the power goes after the write, where it is no countdown
	writes    func(seconds byte) [][]byte
}

// Writes are the bytes to write to the board, in this order, each one transaction, to
// have the power cut; after counts for a countdown only.
func (c Cut) Writes(after time.Duration) [][]byte {
	seconds := min(max(after, 0), c.Longest).Round(time.Second) / time.Second
	return c.writes(byte(seconds))
}
