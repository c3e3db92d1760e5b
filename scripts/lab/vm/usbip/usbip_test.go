package usbip

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"primespark/agent/battery/batterytest"
)

// A host is the kernel's end of a connection.
type host struct {
	t    *testing.T
	conn net.Conn
	seq  uint32
}

// plug connects a device to a host. served gives what Serve ended with.
func plug(t *testing.T, dev Device) (h *host, served chan error) {
	ours, theirs := net.Pipe()
	served = make(chan error, 1)
	go func() { served <- Serve(t.Context(), theirs, dev) }()
	return &host{t: t, conn: ours}, served
}

// send begins a request, and returns its number.
func (h *host) send(s Setup, endpoint uint32, out []byte) uint32 {
	h.t.Helper()
	h.seq++
	b := make([]byte, header)
	be.PutUint32(b, cmdSubmit)
	be.PutUint32(b[4:], h.seq)
	if s.Type&in != 0 {
		be.PutUint32(b[12:], 1)
	}
	be.PutUint32(b[16:], endpoint)
	be.PutUint32(b[24:], uint32(s.Length))
	b[40], b[41] = s.Type, s.Request
	le.PutUint16(b[42:], s.Value)
	le.PutUint16(b[44:], s.Index)
	le.PutUint16(b[46:], s.Length)
	if _, err := h.conn.Write(append(b, out...)); err != nil {
		h.t.Fatal(err)
	}
	return h.seq
}

// cancel takes a request back.
func (h *host) cancel(victim uint32) {
	h.t.Helper()
	h.seq++
	b := make([]byte, header)
	be.PutUint32(b, cmdUnlink)
	be.PutUint32(b[4:], h.seq)
	be.PutUint32(b[20:], victim)
	if _, err := h.conn.Write(b); err != nil {
		h.t.Fatal(err)
	}
}

// receive reads one answer. What comes after the header is data of a request to the host.
func (h *host) receive(toHost bool) (kind, seq uint32, status int32, data []byte) {
	h.t.Helper()
	b := make([]byte, header)
	if _, err := io.ReadFull(h.conn, b); err != nil {
		h.t.Fatal(err)
	}
	if toHost {
		data = make([]byte, be.Uint32(b[24:]))
		if _, err := io.ReadFull(h.conn, data); err != nil {
			h.t.Fatal(err)
		}
	}
	return be.Uint32(b), be.Uint32(b[4:]), int32(be.Uint32(b[20:])), data
}

// ask does a request to endpoint 0.
func (h *host) ask(s Setup, out ...byte) (status int32, data []byte) {
	h.t.Helper()
	seq := h.send(s, 0, out)
	kind, got, status, data := h.receive(s.Type&in != 0)
	if kind != retSubmit || got != seq {
		h.t.Fatalf("answer %d to request %d, want %d to %d", kind, got, retSubmit, seq)
	}
	return status, data
}

// TestDevices: the kernel's drivers know both by what they say of themselves.
func TestDevices(t *testing.T) {
	for name, test := range map[string]struct {
		dev Device
		id  []byte
		all int // bytes of all descriptors of the configuration
	}{
		"i2c-tiny-usb": {&Adapter{}, []byte{0x03, 0x04, 0x31, 0xc6}, 18},
		"CP2104":       {new(Lines), []byte{0xc4, 0x10, 0x60, 0xea}, 32},
	} {
		h, _ := plug(t, test.dev)
		if status, d := h.ask(Setup{Type: in, Request: getDescriptor, Value: ofDevice << 8, Length: 18}); status != 0 || len(d) != 18 || !bytes.Equal(d[8:12], test.id) {
			t.Errorf("%s: device descriptor %x, %d", name, d, status)
		}
		if _, d := h.ask(Setup{Type: in, Request: getDescriptor, Value: ofConfiguration << 8, Length: 9}); len(d) != 9 || int(d[2]) != test.all {
			t.Errorf("%s: the head of the configuration is %x, want it cut to what was asked for", name, d)
		}
		if _, d := h.ask(Setup{Type: in, Request: getDescriptor, Value: ofConfiguration << 8, Length: 255}); len(d) != test.all {
			t.Errorf("%s: the configuration has %d bytes, want %d", name, len(d), test.all)
		}
		if _, d := h.ask(Setup{Type: in, Request: getDescriptor, Value: ofString<<8 | 2, Length: 255}); !bytes.Equal(d, text(name)) {
			t.Errorf("%s: is called %q", name, d)
		}
		if status, _ := h.ask(Setup{Type: in, Request: getDescriptor, Value: 15 << 8, Length: 255}); status != stalled {
			t.Errorf("%s: answers %d to a descriptor that it does not have", name, status)
		}
	}
}

// TestAdapter: a word of a chip, a chip that is not there, and a bus that is disturbed.
func TestAdapter(t *testing.T) {
	chip := batterytest.MAX17048()
	chip.Show(batterytest.Pack{Volts: 3.9})
	bus := chip.On()
	h, _ := plug(t, &Adapter{Bus: bus})
	write := func(addr uint16, out ...byte) int32 {
		status, _ := h.ask(Setup{Type: vendor, Request: tinyIO | 1, Index: addr, Length: uint16(len(out))}, out...)
		return status
	}
	read := func(addr uint16) (int32, []byte) {
		return h.ask(Setup{Type: vendor | in, Request: tinyIO | 2, Value: tinyRead, Index: addr, Length: 2})
	}
	acked := func() byte {
		_, b := h.ask(Setup{Type: vendor | in, Request: tinyStatus, Length: 1})
		return b[0]
	}
	if status := write(0x36, 0x02); status != 0 || acked() != tinyACK {
		t.Errorf("the chip's register: %d", status)
	}
	if status, w := read(0x36); status != 0 || !bytes.Equal(w, []byte{0xc3, 0x00}) {
		t.Errorf("its voltage: %x, %d, want 0xc300", w, status)
	}
	if status, w := read(0x50); status != 0 || len(w) != 2 || acked() != tinyNAK {
		t.Errorf("no chip: %x, %d, want as many bytes as were asked for and a NAK", w, status)
	}
	bus.Fail(batterytest.ErrDisturbed)
	if status, _ := read(0x36); status != stalled {
		t.Errorf("a disturbed bus: %d, want %d", status, stalled)
	}
	if _, f := h.ask(Setup{Type: vendor | in, Request: tinyFuncs, Length: 4}); le.Uint32(f) != i2cAndSMBus {
		t.Errorf("it can do %x", f)
	}
}

// TestHang: a transfer that hangs is taken back by the kernel and not answered any more; one
// that was answered cannot be taken back.
func TestHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := batterytest.MAX17048().On()
		h, served := plug(t, &Adapter{Bus: bus})
		s := Setup{Type: vendor | in, Request: tinyIO, Value: tinyRead, Index: 0x36, Length: 2}
		bus.Stall(true)
		hung := h.send(s, 0, nil)
		synctest.Wait()
		h.cancel(hung)
		if kind, _, status, _ := h.receive(false); kind != retUnlink || status != cancelled {
			t.Errorf("taken back: answer %d with %d, want %d with %d", kind, status, retUnlink, cancelled)
		}
		bus.Stall(false)
		if status, _ := h.ask(s); status != 0 {
			t.Errorf("after it: %d", status)
		}
		h.cancel(h.seq)
		if kind, _, status, _ := h.receive(false); kind != retUnlink || status != fine {
			t.Errorf("too late: answer %d with %d, want %d with %d", kind, status, retUnlink, fine)
		}
		other := h.send(s, 1, nil) // an endpoint that never has anything to say
		h.cancel(other)
		if kind, _, status, _ := h.receive(false); kind != retUnlink || status != cancelled {
			t.Errorf("of another endpoint: answer %d with %d", kind, status)
		}
		bus.Stall(true)
		h.send(s, 0, nil)
		if err := h.conn.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-served; err != nil {
			t.Errorf("unplugged by the host with a transfer under way: %v", err)
		}
	})
}

func TestLines(t *testing.T) {
	l := new(Lines)
	h, _ := plug(t, l)
	level := func() byte {
		_, b := h.ask(Setup{Type: vendor | in, Request: bridgeVendor, Value: bridgeLevels, Length: 1})
		return b[0]
	}
	if b := level(); b != 0 {
		t.Errorf("at first: %04b", b)
	}
	l.Set(0, true)
	l.Set(2, true)
	if b := level(); b != 0b0101 {
		t.Errorf("two are high: %04b", b)
	}
	l.Set(0, false)
	h.ask(Setup{Type: vendor, Request: bridgeVendor, Value: bridgeLatch, Length: 2}, 0b1010, 0b0010)
	if b := level(); b != 0b0110 {
		t.Errorf("after the host's latch: %04b", b)
	}
	if _, b := h.ask(Setup{Type: vendor | in, Request: bridgeVendor, Value: bridgePart, Length: 1}); b[0] != partCP2104 {
		t.Errorf("it is a %x", b)
	}
}

func TestServeEnds(t *testing.T) {
	ours, theirs := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), theirs, new(Lines)) }()
	if _, err := ours.Write(bytes.Repeat([]byte("x"), header)); err != nil {
		t.Fatal(err)
	}
	if err := <-served; !errors.Is(err, ErrProtocol) {
		t.Errorf("something else than USB/IP: %v", err)
	}
	ours, theirs = net.Pipe()
	ctx, unplug := context.WithCancel(t.Context())
	go func() { served <- Serve(ctx, theirs, new(Lines)) }()
	unplug()
	if err := <-served; err != nil {
		t.Errorf("unplugged: %v", err)
	}
	if _, err := ours.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the host's end of an unplugged device: %v", err)
	}
}

// A wire is a connection that holds what the kernel said.
type wire struct{ io.Reader }

func (wire) Write(b []byte) (int, error) { return len(b), nil }
func (wire) Close() error                { return nil }

func FuzzServe(f *testing.F) {
	submit := make([]byte, header)
	be.PutUint32(submit, cmdSubmit)
	submit[40], submit[41] = vendor, tinyIO
	f.Add(submit)
	unlink := make([]byte, header)
	be.PutUint32(unlink, cmdUnlink)
	f.Add(append(submit, unlink...))
	f.Fuzz(func(t *testing.T, said []byte) {
		for _, dev := range []Device{&Adapter{Bus: batterytest.MAX17048().On()}, new(Lines)} {
			err := Serve(t.Context(), wire{bytes.NewReader(said)}, dev)
			if err != nil && !errors.Is(err, ErrProtocol) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Error(err)
			}
		}
	})
}
