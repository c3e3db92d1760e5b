package usbip

import (
	"context"
	"sync"
)

// Lines is Silicon Labs' CP2104 with its four lines: the kernel makes /dev/gpiochipN
// of it, with the label cp210x. The chip tells levels when it is asked, and no edges. The
// zero value has all lines low.
type Lines struct {
	mu    sync.Mutex
	level byte
}

// Set sets the level of a line, 0 to 3.
func (l *Lines) Set(line int, high bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.level &^= 1 << line
	if high {
		l.level |= 1 << line
	}
}

var bridge = identity{
	vendor: 0x10c4, product: 0xea60, release: 0x0100, packet: 64, name: "CP2104", count: 2,
	endpoints: []byte{7, 5, 0x81, 2, 64, 0, 0, 7, 5, 0x01, 2, 64, 0, 0},
}

// What of its requests has to do with lines (Silicon Labs, AN571; kernel,
// drivers/usb/serial/cp210x.c).
const (
	bridgeVendor  = 0xff   // the request that the values below belong to
	bridgePart    = 0x370b // which chip it is
	bridgeConfig  = 0x370c // how its pins come up
	bridgeLevels  = 0x00c2
	bridgeLatch   = 0x37e1 // mask and levels
	partCP2104    = 0x04
	configResetAt = 4      // of the 16 bits of the pins' levels at reset
	allInputs     = 0x0fff // pins that come up high, and are open drain, count as inputs
)

// Control answers one request of the kernel's driver. What is about the serial port is
// taken and does nothing.
func (l *Lines) Control(_ context.Context, s Setup, out []byte) ([]byte, error) {
	if s.Type&kind != vendor {
		return bridge.control(s)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Type&in == 0 {
		if s.Request == bridgeVendor && s.Value == bridgeLatch && len(out) >= 2 {
			l.level = l.level&^out[0] | out[1]&out[0]
		}
		return nil, nil
	}
	b := make([]byte, s.Length)
	if s.Request != bridgeVendor || len(b) == 0 {
		return b, nil
	}
	switch s.Value {
	case bridgePart:
		b[0] = partCP2104
	case bridgeConfig:
		if len(b) >= configResetAt+2 {
			le.PutUint16(b[configResetAt:], allInputs)
		}
	case bridgeLevels:
		b[0] = l.level
	}
	return b, nil
}
