// Package batterytest is UPS boards made of memory: an I²C bus with chips that answer
// register by register, so that the real drivers run, and that can be slow, wrong,
// stuck or unplugged. It is for tests.
package batterytest

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"primespark/agent/battery/i2cdev"
	"primespark/agent/battery/registers"
)

// A Bus has chips at addresses. It answers as i2cdev.Bus does, with the same errors. The
// zero value has no chips. It is safe to share.
type Bus struct {
	mu       sync.Mutex
	chips    map[uint16]*registers.Chip
	faults   []error // of the next transfers; nil for a good one
	gone     bool
	stalled  bool
	glitches int
	writes   []Write
	n        int
}

// A Write is what a driver wrote to a register, or several.
type Write struct {
	Addr  uint16
	Bytes []byte // the register first
}

// Faults that buses of the kernel have.
var (
	ErrNAK         = fmt.Errorf("%w: %w", i2cdev.ErrNAK, unix.EREMOTEIO)
	ErrArbitration = fmt.Errorf("%w: %w", i2cdev.ErrArbitration, unix.EAGAIN)
	ErrDisturbed   = fmt.Errorf("%w: %w", i2cdev.ErrIO, unix.EIO)
)

// Add puts a chip on the bus.
func (b *Bus) Add(addr uint16, chip *registers.Chip) *Bus {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.chips == nil {
		b.chips = map[uint16]*registers.Chip{}
	}
	b.chips[addr] = chip
	return b
}

// Do changes chips while no transfer goes on.
func (b *Bus) Do(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// Fail has the next transfers end as they are named, nil for a good one.
func (b *Bus) Fail(faults ...error) {
	b.Do(func() { b.faults = append(b.faults, faults...) })
}

// Glitch has the next n reads give all ones, as a bus does that nobody drives.
func (b *Bus) Glitch(n int) { b.Do(func() { b.glitches = n }) }

// Stall has transfers hang until their context ends, or not any more.
func (b *Bus) Stall(on bool) { b.Do(func() { b.stalled = on }) }

// Unplug takes the bus away, or brings it back.
func (b *Bus) Unplug(gone bool) { b.Do(func() { b.gone = gone }) }

// Writes returns what was written to registers so far.
func (b *Bus) Writes() []Write {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.writes
}

// Transfers returns how many there were.
func (b *Bus) Transfers() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.n
}

// TxContext does one transaction.
func (b *Bus) TxContext(ctx context.Context, addr uint16, w, r []byte) error {
	b.mu.Lock()
	stalled := b.stalled
	b.mu.Unlock()
	if stalled {
		<-ctx.Done()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	if err := b.fault(ctx, addr); err != nil {
		return fmt.Errorf("bus made of memory, chip %#02x: %w", addr, err)
	}
	b.chips[addr].Tx(w, r)
	if len(w) > 1 {
		b.writes = append(b.writes, Write{addr, w})
	}
	if b.glitches > 0 && len(r) > 0 {
		b.glitches--
		for i := range r {
			r[i] = 0xff
		}
	}
	return nil
}

func (b *Bus) fault(ctx context.Context, addr uint16) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", i2cdev.ErrTimeout, err)
	}
	if b.gone {
		return fmt.Errorf("%w: %w", i2cdev.ErrGone, unix.ENODEV)
	}
	if len(b.faults) > 0 {
		fault := b.faults[0]
		b.faults = b.faults[1:]
		if fault != nil {
			return fault
		}
	}
	if b.chips[addr] == nil {
		return ErrNAK
	}
	return nil
}
