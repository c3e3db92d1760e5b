// Package usbip is USB devices made of software for a Linux guest: its own driver of
// virtual USB ports (vhci-hcd) takes a connection over which a device answers, and from
// there on the kernel cannot tell. So the kernel's drivers for USB adapters make a real
// /dev/i2c-N and a real /dev/gpiochipN out of them.
//
// It speaks the part of USB/IP that comes after the import of a device (Linux,
// Documentation/usb/usbip_protocol.rst): requests and their cancelling. The guest's end
// of the connection is handed to vhci-hcd by a line in its sysfs file "attach".
package usbip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A Device answers requests to its endpoint 0. A request that it leaves unanswered ends
// with ctx: the kernel gives up after two seconds or so, as with a device that hangs.
type Device interface {
	// Control does one request. out is what the host sends; in is what it gets, of
	// which no more than s.Length is sent. ErrStall refuses the request, as hardware does;
	// any other error leaves it unanswered.
	Control(ctx context.Context, s Setup, out []byte) (in []byte, err error)
}

// ErrStall is how a device refuses a request.
var ErrStall = errors.New("request refused")

// ErrProtocol is what Serve ends with when the other side speaks something else.
var ErrProtocol = errors.New("no USB/IP")

// A Setup says what a request to endpoint 0 is about (USB 2.0, table 9-2).
type Setup struct {
	Type, Request        byte
	Value, Index, Length uint16
}

// Bits of Setup.Type.
const (
	in     = 0x80 // from the device to the host
	kind   = 0x60 // of which
	vendor = 0x40 // is for a driver of this device alone
)

// Commands and their answers, and how long each one's header is.
const (
	cmdSubmit = 1
	cmdUnlink = 2
	retSubmit = 3
	retUnlink = 4
	header    = 48
)

// Answers, as negative errno.
const (
	fine      = 0
	stalled   = -32  // EPIPE
	cancelled = -104 // ECONNRESET
)

// Bounds of what a kernel may ask for.
const (
	longest = 64 << 10 // bytes of a request
	pending = 64       // requests at a time
)

// Serve answers for dev until the connection or ctx ends, and closes the connection,
// which unplugs the device. It returns nil when the other side has let go of it.
func Serve(ctx context.Context, conn io.ReadWriteCloser, dev Device) error {
	ctx, cancel := context.WithCancel(ctx)
	p := &port{conn: conn, dev: dev, waiting: map[uint32]context.CancelFunc{}}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // what reads from it is told
	err := p.read(ctx)
	unplugged := ctx.Err() != nil
	cancel()
	p.wg.Wait()
	if stop() {
		_ = conn.Close()
	}
	if unplugged || errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// A port is one connection.
type port struct {
	conn io.ReadWriteCloser
	dev  Device
	wg   sync.WaitGroup

	mu      sync.Mutex // guards writing, too
	waiting map[uint32]context.CancelFunc
}

func (p *port) read(ctx context.Context) error {
	h := make([]byte, header)
	for {
		if _, err := io.ReadFull(p.conn, h); err != nil {
			return err
		}
		var err error
		switch seq := be.Uint32(h[4:]); be.Uint32(h) {
		case cmdSubmit:
			err = p.submit(ctx, seq, h)
		case cmdUnlink:
			err = p.unlink(seq, be.Uint32(h[20:]))
		default:
			err = fmt.Errorf("%w: command %#x", ErrProtocol, be.Uint32(h))
		}
		if err != nil {
			return err
		}
	}
}

var be = binary.BigEndian

// submit begins a request. Endpoints other than 0 never have anything to say.
func (p *port) submit(ctx context.Context, seq uint32, h []byte) error {
	toHost, endpoint, length := be.Uint32(h[12:]) == 1, be.Uint32(h[16:]), be.Uint32(h[24:])
	if length > longest {
		return fmt.Errorf("%w: a request of %d bytes", ErrProtocol, length)
	}
	s := Setup{h[40], h[41], le.Uint16(h[42:]), le.Uint16(h[44:]), le.Uint16(h[46:])}
	var out []byte
	if !toHost {
		out = make([]byte, length)
		if _, err := io.ReadFull(p.conn, out); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, twice := p.waiting[seq]; twice || len(p.waiting) >= pending {
		cancel()
		return fmt.Errorf("%w: request %d, with %d others under way", ErrProtocol, seq, len(p.waiting))
	}
	p.waiting[seq] = cancel
	if endpoint != 0 {
		return nil // it waits until it is cancelled
	}
	p.wg.Go(func() {
		got, err := p.dev.Control(ctx, s, out)
		p.answer(seq, toHost, length, got, err)
	})
	return nil
}

var le = binary.LittleEndian

// answer ends a request, unless it was cancelled or the device leaves it open.
func (p *port) answer(seq uint32, toHost bool, length uint32, got []byte, err error) {
	status := int32(fine)
	switch {
	case errors.Is(err, ErrStall):
		status, got, length = stalled, nil, 0
	case err != nil:
		return
	}
	if toHost {
		got = got[:min(len(got), int(length))]
		length = uint32(len(got))
	} else {
		got = nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cancel, ok := p.waiting[seq]
	if !ok {
		return
	}
	cancel()
	delete(p.waiting, seq)
	// Who cannot be written to has ended the connection, which read notices.
	_, _ = p.conn.Write(reply(retSubmit, seq, status, length, got))
}

// unlink cancels a request that may be under way.
func (p *port) unlink(seq, victim uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := int32(fine) // it was answered before
	if cancel, ok := p.waiting[victim]; ok {
		cancel()
		delete(p.waiting, victim)
		status = cancelled
	}
	_, err := p.conn.Write(reply(retUnlink, seq, status, 0, nil))
	return err
}

func reply(kind, seq uint32, status int32, length uint32, data []byte) []byte {
	b := make([]byte, header, header+len(data))
	be.PutUint32(b, kind)
	be.PutUint32(b[4:], seq)
	be.PutUint32(b[20:], uint32(status))
	be.PutUint32(b[24:], length)
	return append(b, data...)
}
