package firmware

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The property interface of the mailbox (github.com/raspberrypi/firmware/wiki, "Mailbox
// property interface"; the command's own tag as in raspberrypi/utils, vcgencmd.c).
const (
	ioctlProperty = 0xc0086400 // _IOWR(100, 0, char *)
	tagCommand    = 0x00030080
	answerMost    = 1024 // bytes of a command, and of an answer

	processRequest = 0
	requestDone    = 0x80000000
)

// A property is a message with one tag; words of 32 bits, in the processor's order.
type property struct {
	size    uint32 // of all, in bytes
	code    uint32 // processRequest, and requestDone afterwards
	tag     uint32
	bufSize uint32
	length  uint32
	fault   uint32 // of the command
	text    [answerMost]byte
	end     uint32 // 0: no more tags
}

// ask puts a command into the mailbox and waits for the answer, which takes the
// firmware a millisecond or so.
func ask(path, command string) (answer string, err error) {
	if len(command) >= answerMost {
		return "", errors.New("the command is too long")
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	p := &property{tag: tagCommand, bufSize: answerMost, size: uint32(unsafe.Sizeof(property{}))}
	copy(p.text[:], command)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), ioctlProperty, uintptr(unsafe.Pointer(p))); errno != 0 {
		return "", errno
	}
	if p.code != requestDone || p.fault != 0 {
		return "", fmt.Errorf("%w: state %#x, fault %d", ErrAnswer, p.code, p.fault)
	}
	text, _, _ := bytes.Cut(p.text[:], []byte{0})
	return string(text), nil
}
