package i2cdev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A lab is a kernel with one bus, which answers the address to each read.
type lab struct {
	mu      sync.Mutex
	absent  error         // of opening it
	faults  []error       // of the next transfers; nil for a good one
	hang    time.Duration // of each transfer
	open    int           // devices that are open
	opened  int           // in all
	got     [][]byte      // what was written
	inside  int           // transfers at this moment
	overlap bool          // there were two at a time
}

func (l *lab) bus() *Bus {
	return newBus("/dev/i2c-1", func(path string) (device, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.absent != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: l.absent}
		}
		l.open++
		l.opened++
		return l, nil
	})
}

func (l *lab) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	return nil
}

func (l *lab) transfer(addr uint16, w, r []byte) error {
	l.mu.Lock()
	l.inside++
	l.overlap = l.overlap || l.inside > 1
	var fault error
	if len(l.faults) > 0 {
		fault, l.faults = l.faults[0], l.faults[1:]
	}
	l.got = append(l.got, w)
	hang := l.hang
	l.mu.Unlock()
	time.Sleep(hang)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside--
	for i := range r {
		r[i] = byte(addr)
	}
	return fault
}

func TestErrorsSayWhatTheyAre(t *testing.T) {
	for errno, want := range map[unix.Errno]error{
		unix.EREMOTEIO: ErrNAK, unix.ENXIO: ErrNAK, unix.ETIMEDOUT: ErrTimeout, unix.EAGAIN: ErrArbitration,
		unix.ENODEV: ErrGone, unix.EIO: ErrIO, unix.EPROTO: ErrIO,
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &lab{faults: []error{errno, errno, errno, errno, errno}}
			err := l.bus().Tx(0x36, []byte{2}, make([]byte, 2))
			if !errors.Is(err, want) || !errors.Is(err, errno) || !strings.Contains(err.Error(), "/dev/i2c-1 chip 0x36") {
				t.Errorf("%v: %v, want it to wrap %q and the errno, and say where", errno, err, want)
			}
		})
	}
}

func TestTries(t *testing.T) {
	nak := error(unix.EREMOTEIO)
	for name, c := range map[string]struct {
		faults []error
		read   int
		calls  int
		ok     bool
	}{
		"at once":                     {nil, 2, 1, true},
		"a passing fault":             {[]error{nak, unix.EAGAIN}, 2, 3, true},
		"a lasting fault":             {[]error{nak, nak, nak, nil}, 2, 3, false},
		"a write is never told twice": {[]error{nak, nil}, 0, 1, false},
		"the bus is gone":             {[]error{unix.ENODEV, nil}, 2, 1, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := &lab{faults: c.faults}
			r := make([]byte, c.read)
			err := l.bus().Tx(0x36, []byte{1, 0x55}, r)
			if (err == nil) != c.ok || len(l.got) != c.calls {
				t.Errorf("%s: %d calls, %v; want %d", name, len(l.got), err, c.calls)
			}
			if c.ok && r[0] != 0x36 {
				t.Errorf("%s: read %x", name, r)
			}
		})
	}
}

func TestAHungBusHoldsNobodyLongerThanItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{hang: time.Minute}
		b := l.bus()
		start := time.Now()
		for range 2 { // the one that hangs, and one behind it
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			r := []byte{7, 7}
			err := b.TxContext(ctx, 0x36, []byte{2}, r)
			if !errors.Is(err, ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || !bytes.Equal(r, []byte{7, 7}) {
				t.Errorf("%v, read %x; want a timeout that leaves the memory alone", err, r)
			}
			cancel()
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("two deadlines of a second took %v", d)
		}
		l.mu.Lock()
		l.hang = 0
		l.mu.Unlock()
		time.Sleep(time.Minute) // the first has ended in the kernel
		if err := b.Tx(0x36, []byte{2}, make([]byte, 2)); err != nil || l.overlap {
			t.Errorf("after it: %v, two at a time: %v", err, l.overlap)
		}
		if err := b.Close(); err != nil || l.open != 0 {
			t.Errorf("closed: %v, %d open", err, l.open)
		}
		if err := b.Tx(0x36, []byte{2}, make([]byte, 2)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed bus answers %v", err)
		}
	})
}

func TestUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &lab{absent: unix.ENOENT}
		b := l.bus()
		read := func() error { return b.Tx(0x36, []byte{2}, make([]byte, 2)) }
		if err := read(); !errors.Is(err, ErrGone) || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "raspi-config") {
			t.Errorf("before it is there: %v, want what to do", err)
		}
		l.absent = unix.EACCES
		if err := read(); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "group i2c") {
			t.Errorf("not allowed: %v, want what to do", err)
		}
		l.absent = nil
		if err := read(); err != nil || l.opened != 1 {
			t.Errorf("plugged in: %v", err)
		}
		l.faults, l.absent = []error{unix.ENODEV}, unix.ENOENT
		if err := read(); !errors.Is(err, ErrGone) || l.open != 0 {
			t.Errorf("unplugged: %v, %d still open, which keeps its number taken", err, l.open)
		}
		l.absent = nil
		if err := read(); err != nil || l.opened != 2 {
			t.Errorf("plugged in again: %v", err)
		}
		// Some adapters never say that they are gone.
		l.faults = []error{unix.EIO, unix.EIO, unix.EIO, unix.EIO, unix.EIO}
		if err := read(); err == nil || l.opened != 2 {
			t.Errorf("three failures: %v, opened %d times", err, l.opened)
		}
		if err := read(); err != nil || l.opened != 3 {
			t.Errorf("after five: %v, opened %d times, want it opened anew", err, l.opened)
		}
	})
}

func TestParallelReads(t *testing.T) {
	l := new(lab)
	b := l.bus()
	var wg sync.WaitGroup
	wrong := make(chan string, 400)
	for i := range 400 {
		wg.Go(func() {
			addr := uint16(0x10 + i%64)
			deep(i%60, func() {
				r := make([]byte, 2)
				if err := b.Tx(addr, []byte{2}, r); err != nil || r[0] != byte(addr) || r[1] != byte(addr) {
					wrong <- fmt.Sprint(r, err)
				}
			})
		})
	}
	wg.Wait()
	if len(wrong) > 0 || l.overlap {
		t.Errorf("%d of 400 parallel reads are wrong, the first %s; two at a time: %v", len(wrong), <-wrong, l.overlap)
	}
}

// deep calls f with a stack that had to grow, and so to move, before.
func deep(n int, f func()) byte {
	var pad [64]byte
	pad[n%64] = byte(n)
	if n == 0 {
		f()
		return pad[3]
	}
	return deep(n-1, f) + pad[n%64]
}

func TestNoTransferThatCannotBe(t *testing.T) {
	l := new(lab)
	for name, try := range map[string]func(b *Bus) error{
		"reserved address": func(b *Bus) error { return b.Tx(0x03, []byte{1}, nil) },
		"ten bits":         func(b *Bus) error { return b.Tx(0x136, []byte{1}, nil) },
		"too long":         func(b *Bus) error { return b.Tx(0x36, nil, make([]byte, 8193)) },
		"speed":            func(b *Bus) error { return b.SetSpeed(100_000) },
	} {
		if err := try(l.bus()); err == nil || len(l.got) > 0 {
			t.Errorf("%s: %v after %d transfers, want it refused", name, err, len(l.got))
		}
	}
}

func TestNotABus(t *testing.T) {
	err := New("/dev/null").Tx(0x36, []byte{2}, make([]byte, 2))
	if !errors.Is(err, ErrGone) || !errors.Is(err, unix.ENOTTY) || !strings.Contains(err.Error(), "not an I²C bus") {
		t.Errorf("/dev/null: %v", err)
	}
}

func TestFileOfRegisters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registers")
	b := New(path)
	r := make([]byte, 2)
	if err := b.Tx(0x36, []byte{2}, r); !errors.Is(err, ErrGone) {
		t.Errorf("no file: %v", err)
	}
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("chip 0x36 words\n0x02 = 0xc300\nchip 0x2d bytes\n0x01 = 0x0b\n")
	if err := b.Tx(0x36, []byte{2}, r); err != nil || r[0] != 0xc3 {
		t.Errorf("read %x, %v", r, err)
	}
	if err := b.Tx(0x17, []byte{2}, r); !errors.Is(err, ErrNAK) {
		t.Errorf("a chip that is not there: %v", err)
	}
	if err := b.Tx(0x2d, []byte{1, 0x55}, nil); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(path); err != nil || !strings.Contains(string(text), "0x01 = 0x55") {
		t.Errorf("what was written is not kept: %s, %v", text, err)
	}
	write("nonsense")
	if err := b.Tx(0x36, []byte{2}, r); !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("nonsense: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
