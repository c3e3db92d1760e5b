package usbip

import (
	"context"
	"errors"
	"sync"

	"primespark/agent/battery/i2cdev"
)

// A Bus has chips. Writes and reads of one transaction come one after the other.
type Bus interface {
	TxContext(ctx context.Context, addr uint16, w, r []byte) error
}

// An Adapter is Till Harbaum's i2c-tiny-usb with a bus behind it: the kernel makes
// /dev/i2c-N of it. A chip that does not answer (i2cdev.ErrNAK) is one to the kernel,
// too, ENXIO there; a transfer that hangs is given up after two seconds (ETIMEDOUT), and any
// other fault stalls the request (EIO).
type Adapter struct {
	Bus Bus

	mu     sync.Mutex
	status byte // of the last transfer
}

var tiny = identity{vendor: 0x0403, product: 0xc631, release: 0x0205, packet: 8, name: "i2c-tiny-usb"}

// Its requests and answers (kernel, drivers/i2c/busses/i2c-tiny-usb.c).
const (
	tinyEcho     = 0
	tinyFuncs    = 1
	tinyDelay    = 2
	tinyStatus   = 3
	tinyIO       = 4 // and 1: begins a transaction, and 2: ends it
	tinyIOMost   = 7
	tinyRead     = 1 // in the value: I2C_M_RD
	tinyACK      = 1
	tinyNAK      = 2
	i2cAndSMBus  = 0x0eff0009 // I2C_FUNC_I2C | I2C_FUNC_PROTOCOL_MANGLING | I2C_FUNC_SMBUS_EMUL
	longestChunk = 8192       // bytes of a message (linux/i2c-dev.c)
)

// Control answers one request of the kernel's driver.
func (a *Adapter) Control(ctx context.Context, s Setup, out []byte) ([]byte, error) {
	if s.Type&kind != vendor {
		return tiny.control(s)
	}
	switch {
	case s.Request == tinyEcho:
		return le.AppendUint16(nil, s.Value), nil
	case s.Request == tinyFuncs:
		return le.AppendUint32(nil, i2cAndSMBus), nil
	case s.Request == tinyDelay:
		return nil, nil
	case s.Request == tinyStatus:
		a.mu.Lock()
		defer a.mu.Unlock()
		return []byte{a.status}, nil
	case s.Request >= tinyIO && s.Request <= tinyIOMost && s.Length <= longestChunk:
		return a.transfer(ctx, s, out)
	}
	return nil, ErrStall
}

func (a *Adapter) transfer(ctx context.Context, s Setup, out []byte) (read []byte, err error) {
	if s.Value&tinyRead != 0 {
		read = make([]byte, s.Length)
	}
	err = a.Bus.TxContext(ctx, s.Index, out, read)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	status := byte(tinyACK)
	switch {
	case errors.Is(err, i2cdev.ErrNAK): // told by the status, with as many bytes as were asked for
		status = tinyNAK
	case err != nil:
		return nil, ErrStall
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status = status
	return read, nil
}
