// Package i2cdev is an I²C bus of the kernel, /dev/i2c-N, to periph's interfaces.
//
// It exists because periph's own loses answers: it hands the kernel addresses of a stack
// that may have moved, so that parallel reads fail, or succeed with zeros. Here one
// transfer goes on at a time, on memory of its own. A transfer ends with its context even
// when the bus hangs in the kernel, reads are tried again, and a bus that was unplugged
// is opened again when it is back. Nothing is opened before it is needed: a node boots
// without its board.
//
// The path may name a file of registers instead, see package registers.
package i2cdev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	"periph.io/x/conn/v3/i2c"
	"periph.io/x/conn/v3/physic"
)

// What can be wrong with a transfer. Errors of a bus wrap one of these and the kernel's
// errno.
var (
	ErrNAK         = errors.New("no chip answers")
	ErrTimeout     = errors.New("the bus hangs")
	ErrArbitration = errors.New("another master has the bus")
	ErrGone        = errors.New("the bus is not there")
	ErrIO          = errors.New("the bus is disturbed")
)

const (
	tries    = 3                     // of a transfer that reads
	pause    = 20 * time.Millisecond // between them
	reopen   = 5                     // failures in a row after which the device is opened anew
	whole    = 2 * time.Second       // a transfer without a context, all tries together
	longest  = 8192                  // bytes of a message (linux/i2c-dev.c)
	addrMost = 0x77                  // above and below 8 addresses are reserved (I²C specification, table 4)
	addrMin  = 0x08
)

// A Bus is safe to share. Make it by New and end it by Close.
type Bus struct {
	path string
	open func(path string) (device, error)

	turn chan struct{} // holds one while a transfer goes on; guards what follows
	dev  device        // nil: to be opened
	bad  int           // failures in a row
	done bool          // closed
}

// A device is what transfers, one at a time: a bus of the kernel, or a file.
type device interface {
	transfer(addr uint16, w, r []byte) error
	Close() error
}

var _ i2c.BusCloser = (*Bus)(nil)

// New returns the bus at path. It is opened by the first transfer.
func New(path string) *Bus { return newBus(path, open) }

func newBus(path string, open func(string) (device, error)) *Bus {
	return &Bus{path: path, open: open, turn: make(chan struct{}, 1)}
}

// open opens a bus of the kernel, or a file of registers.
func open(path string) (device, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() {
		return file(path), nil
	}
	return openKernel(path)
}

func (b *Bus) String() string { return b.path }

// SetSpeed always fails: the kernel has no call for it.
func (b *Bus) SetSpeed(physic.Frequency) error {
	return fmt.Errorf("%s: the speed of a bus is set at boot, by dtparam=i2c_arm_baudrate=100000 in config.txt", b.path)
}

// Tx is TxContext within two seconds.
func (b *Bus) Tx(addr uint16, w, r []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), whole)
	defer cancel()
	return b.TxContext(ctx, addr, w, r)
}

// TxContext writes w to the chip at addr and then reads r, either of which may be empty,
// as one transaction. What reads is tried again after a passing fault. What only writes is not,
// since a countdown may have been started: whoever writes has to look.
func (b *Bus) TxContext(ctx context.Context, addr uint16, w, r []byte) error {
	if addr < addrMin || addr > addrMost || len(w) > longest || len(r) > longest {
		return fmt.Errorf("%s: %d bytes to and %d from chip %#02x: no transfer that this bus can do", b.path, len(w), len(r), addr)
	}
	if len(w)+len(r) == 0 {
		return nil
	}
	for n := 1; ; n++ {
		err := b.once(ctx, addr, w, r)
		if err == nil {
			return nil
		}
		if n == tries || len(r) == 0 || errors.Is(err, ErrGone) || ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
			return fmt.Errorf("%s chip %#02x: %w", b.path, addr, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// once does one transfer, or gives up waiting for it.
func (b *Bus) once(ctx context.Context, addr uint16, w, r []byte) error {
	select {
	case b.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("%w in another transfer: %w", ErrTimeout, ctx.Err())
	}
	// The kernel may not come back for a second or more, and cannot be called back: it
	// gets memory that is its own. Whoever has the next turn waits for it.
	in, out := slices.Clone(w), make([]byte, len(r))
	done := make(chan error, 1)
	go func() {
		err := b.transfer(addr, in, out)
		done <- err
		<-b.turn
	}()
	select {
	case err := <-done:
		if err == nil {
			copy(r, out)
		}
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
	}
}

// transfer runs with the turn.
func (b *Bus) transfer(addr uint16, w, r []byte) error {
	if b.done {
		return os.ErrClosed
	}
	if b.dev == nil {
		dev, err := b.open(b.path)
		if err != nil {
			return openError(err)
		}
		b.dev = dev
	}
	err := kind(b.dev.transfer(addr, w, r))
	if err == nil {
		b.bad = 0
		return nil
	}
	b.bad++
	// A device that was unplugged keeps its number while it is open, so it would come
	// back under another one.
	if errors.Is(err, ErrGone) || b.bad >= reopen {
		b.bad = 0
		err = errors.Join(err, b.dev.Close())
		b.dev = nil
	}
	return err
}

// Close waits for the transfer that goes on. Those that come later fail.
func (b *Bus) Close() error {
	b.turn <- struct{}{}
	defer func() { <-b.turn }()
	b.done = true
	if b.dev == nil {
		return nil
	}
	err := b.dev.Close()
	b.dev = nil
	return err
}

// openError says what keeps a bus from being opened, and what mends it.
func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w to this user; add it to the group i2c: %w", ErrGone, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; enable it by sudo raspi-config nonint do_i2c 0: %w", ErrGone, err)
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// kind wraps an errno of a transfer in what it means. Drivers differ: the Pi's DesignWare
// answers EREMOTEIO where an adapter at USB answers ENXIO (kernel, i2c/fault-codes.rst).
func kind(err error) error {
	for _, k := range []struct {
		is   error
		errs []unix.Errno
	}{
		{ErrNAK, []unix.Errno{unix.EREMOTEIO, unix.ENXIO}},
		{ErrTimeout, []unix.Errno{unix.ETIMEDOUT}},
		{ErrArbitration, []unix.Errno{unix.EAGAIN, unix.EBUSY}},
		{ErrGone, []unix.Errno{unix.ENODEV, unix.ESHUTDOWN, unix.EBADF}},
	} {
		for _, e := range k.errs {
			if errors.Is(err, e) {
				return fmt.Errorf("%w: %w", k.is, err)
			}
		}
	}
	if err != nil && !errors.Is(err, ErrNAK) && !errors.Is(err, ErrGone) {
		return fmt.Errorf("%w: %w", ErrIO, err)
	}
	return err
}
