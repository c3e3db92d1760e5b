package i2cdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of linux/i2c-dev.h.
const (
	ioctlTimeout = 0x0702 // in units of 10 ms
	ioctlFuncs   = 0x0705
	ioctlRDWR    = 0x0707

	funcI2C   = 0x00000001 // I2C_FUNC_I2C: plain transfers, not SMBus only
	flagRead  = 0x0001     // I2C_M_RD
	patience  = 20         // × 10 ms, for the adapter to have done a transfer
	busyTries = 100        // EINTR in a row
)

// A message is struct i2c_msg. The pointer has a type, so that the memory stays where it
// is, and alive, while the kernel writes to it.
type message struct {
	addr, flags, n uint16
	_              uint16
	buf            *byte
}

// messages is struct i2c_rdwr_ioctl_data.
type messages struct {
	first *message
	n     uint32
}

// kernel is an open /dev/i2c-N.
type kernel struct{ fd int }

func openKernel(path string) (device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	k := kernel{fd}
	if err := k.prepare(); err != nil {
		return nil, errors.Join(&os.PathError{Op: "open", Path: path, Err: err}, k.Close())
	}
	return k, nil
}

// prepare asks whether this is a bus that can do plain transfers, and bounds them.
func (k kernel) prepare() error {
	var funcs uint64 // unsigned long
	if err := k.ioctl(ioctlFuncs, unsafe.Pointer(&funcs)); err != nil {
		return fmt.Errorf("not an I²C bus: %w", err)
	}
	if funcs&funcI2C == 0 {
		return errors.New("an SMBus only, which cannot do plain I²C transfers; name the header's bus, as in /dev/i2c-1")
	}
	if err := unix.IoctlSetInt(k.fd, ioctlTimeout, patience); err != nil {
		return fmt.Errorf("bound its transfers: %w", err)
	}
	return nil
}

func (k kernel) transfer(addr uint16, w, r []byte) error {
	all := make([]message, 0, 2)
	if len(w) > 0 {
		all = append(all, message{addr: addr, n: uint16(len(w)), buf: &w[0]})
	}
	if len(r) > 0 {
		all = append(all, message{addr: addr, flags: flagRead, n: uint16(len(r)), buf: &r[0]})
	}
	call := &messages{&all[0], uint32(len(all))}
	var err error
	for range busyTries {
		if err = k.ioctl(ioctlRDWR, unsafe.Pointer(call)); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	runtime.KeepAlive(call)
	return err
}

// ioctl keeps the pointer a pointer until the call itself (package unsafe, rule 4).
func (k kernel) ioctl(request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(k.fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// Close gives the bus back to the kernel, which may wait for that with an unplugged one.
func (k kernel) Close() error { return unix.Close(k.fd) }
