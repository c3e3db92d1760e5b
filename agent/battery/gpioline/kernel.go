package gpioline

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Chip is a GPIO chip of the host.
type Chip struct {
	Path  string `json:"path"`
	Name  string `json:"name"`  // gpiochip0
	Label string `json:"label"` // pinctrl-rp1
	Lines int    `json:"lines"`
}

const ioctlChipInfo = 0x8044b401 // GPIO_GET_CHIPINFO_IOCTL

// The flags of linux/gpio.h, enum gpio_v2_line_flag.
const (
	flagInput  = 1 << 2
	flagPullUp = 1 << 8
	flagPullDn = 1 << 9
	flagNoBias = 1 << 10
)

var biases = map[Bias]uint64{"": 0, BiasAsIs: 0, BiasUp: flagPullUp, BiasDown: flagPullDn, BiasNone: flagNoBias}

// linux is the kernel of this host.
type linux struct{}

// A requested line is a file.
type requested int

// Close gives the line back.
func (r requested) Close() error { return unix.Close(int(r)) }

// request asks for a line as an input.
func (linux) request(path string, offset int, bias Bias) (_ handle, err error) {
	flags, ok := biases[bias]
	if !ok {
		return nil, fmt.Errorf("bias %q is none of up, down, none and as-is", bias)
	}
	chip, err := openChip(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(chip)) }()
	call := new(unix.GPIOV2LineRequest)
	call.Offsets[0], call.Num_lines = uint32(offset), 1
	call.Config.Flags = flagInput | flags
	copy(call.Consumer[:], Consumer)
	if err := ioctl(chip, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(call)); err != nil {
		return nil, refused(chip, offset, err)
	}
	return requested(call.Fd), nil
}

func openChip(path string) (int, error) {
	chip, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrGone, &os.PathError{Op: "open", Path: path, Err: err})
	}
	return chip, nil
}

// refused says why a line was not given.
func refused(chip, offset int, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w, %s; stop it, or use what it offers (a kernel driver: battery.source power_supply): %w", ErrBusy, holder(chip, offset), err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: the chip has no line %d, or knows no such bias: %w", ErrGone, offset, err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("%w: this is no GPIO chip, or the kernel is older than 5.10: %w", ErrGone, err)
	}
	return err
}

// holder is who has a line, as the kernel tells.
func holder(chip, offset int) string {
	call := &unix.GPIOV2LineInfo{Offset: uint32(offset)}
	if err := ioctl(chip, unix.GPIO_V2_GET_LINEINFO_IOCTL, unsafe.Pointer(call)); err != nil {
		return "which the kernel does not name"
	}
	return "called " + text(call.Consumer[:])
}

func (r requested) value() (high bool, err error) {
	call := &unix.GPIOV2LineValues{Mask: 1}
	if err := ioctl(int(r), unix.GPIO_V2_LINE_GET_VALUES_IOCTL, unsafe.Pointer(call)); err != nil {
		return false, fmt.Errorf("read its level: %w", err)
	}
	return call.Bits&1 != 0, nil
}

// look asks a chip what it is.
func (linux) look(path string) (c Chip, err error) {
	fd, err := openChip(path)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	info := new(unix.GPIOChipInfo)
	if err := ioctl(fd, ioctlChipInfo, unsafe.Pointer(info)); err != nil {
		return c, fmt.Errorf("%s: %w: no GPIO chip: %w", path, ErrGone, err)
	}
	return Chip{path, text(info.Name[:]), text(info.Label[:]), int(info.Lines)}, nil
}

// text is what a C string holds.
func text(b []byte) string { return unix.ByteSliceToString(b) }

// ioctl keeps the pointer a pointer until the call itself (package unsafe, rule 4).
func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}
