// Package procfile reads the small files in which Linux tells of itself, below /proc and
// /sys, as often as somebody wants to know: past Go's poller, which such files do not need
// and which wakes a thread for each that is opened.
package procfile

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Sizes of what is read, in bytes. A host of containers has a line of some 120 bytes for
// each of its network interfaces.
const (
	least = 4 << 10
	most  = 4 << 20
)

// ErrLong says that a file is none of those that this package is for.
var ErrLong = errors.New("4 MiB or longer")

// A File stays open between two readings, since to open one of /proc costs more than to
// read it. It is for one goroutine.
type File struct {
	path string
	fd   int
	open bool
	text []byte // as long as it ever was
}

// New returns a file that is opened when it is first read.
func New(path string) *File { return &File{path: path} }

// Read returns what the file says now; it is good until the next reading. After a failure,
// which names the file, it is opened anew.
func (f *File) Read() ([]byte, error) {
	text, err := f.read()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", f.path, err)
	}
	return text, nil
}

func (f *File) read() (text []byte, err error) {
	if !f.open {
		if f.fd, err = open(f.path); err != nil {
			return nil, err
		}
		f.open = true
	}
	if f.text == nil {
		f.text = make([]byte, least)
	}
	n := 0
	for {
		if n == len(f.text) {
			if n >= most {
				return nil, ErrLong
			}
			f.text = append(f.text, make([]byte, n)...)
		}
		// The kernel gives a page at a time, so only nothing is the end.
		switch more, err := unix.Pread(f.fd, f.text[n:], int64(n)); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case more == 0:
			return f.text[:n], nil
		default:
			n += more
		}
	}
}

// Close closes the file, until it is read again.
func (f *File) Close() {
	if f.open {
		f.open = false
		_ = unix.Close(f.fd) // nothing was written
	}
}

// Once returns what a file says, as text; it fails like File.Read.
func Once(path string) (string, error) {
	f := New(path)
	defer f.Close()
	text, err := f.Read()
	return string(text), err
}

func open(path string) (fd int, err error) {
	for {
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
