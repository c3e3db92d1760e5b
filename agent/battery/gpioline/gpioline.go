// Package gpioline reads one line of a GPIO chip, by the kernel's character device
// (version 2 of its interface, linux/gpio.h).
//
// A line that cannot be read is an error, never a level: on most UPS boards a low line
// means that the mains are lost. The chip is chosen by its label, since its number
// changes with the kernel: the header of a Raspberry Pi 5 is "pinctrl-rp1", whether that
// is gpiochip0 or gpiochip4.
package gpioline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Bias is what pulls the line when nothing drives it.
type Bias string

// The biases.
const (
	BiasUp   Bias = "up"
	BiasDown Bias = "down"
	BiasNone Bias = "none"
	BiasAsIs Bias = "as-is"
)

// What can be wrong with a line. Errors wrap one of these, and the kernel's.
var (
	ErrBusy = errors.New("another program or driver has the line")
	ErrGone = errors.New("the line is not there")
)

// Consumer is the name under which the kernel shows who has the line.
const Consumer = "prime-spark"

// Config says which line, and what it means.
type Config struct {
	Chip   string // its label, as in pinctrl-rp1, or its path; a file that holds 0 or 1 stands for a line, for tests
	Offset int    // of the line in the chip; of the header of a Pi, the number of the GPIO
	Low    bool   // the line is low while what it senses is present
	Bias   Bias   // as-is if empty
	Root   string // of the file system; empty: "/"
}

// A Line reads one line. The chip is opened by the first read, and anew after a failed
// one, so that it may come and go. It is safe to share.
type Line struct {
	Config
	kernel kernel
	mu     sync.Mutex
	open   handle // nil: not open
}

// A kernel finds chips and gives their lines.
type kernel interface {
	look(path string) (Chip, error)
	request(path string, offset int, bias Bias) (handle, error)
}

// A handle is a line that was given.
type handle interface {
	value() (high bool, err error)
	Close() error
}

// New returns a line that is not open yet.
func New(c Config) *Line { return &Line{Config: c, kernel: linux{}} }

func (l *Line) String() string { return fmt.Sprintf("line %d of %s", l.Offset, l.Chip) }

// Present reports whether what the line senses is there. The call does not wait: ctx is
// looked at once, since a chip behind USB takes a moment.
func (l *Line) Present(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	high, err := l.level()
	if err != nil {
		return false, fmt.Errorf("%v: %w", l, errors.Join(err, l.close()))
	}
	return high != l.Low, nil
}

// Close gives the line back.
func (l *Line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.close()
}

func (l *Line) close() error {
	if l.open == nil {
		return nil
	}
	err := l.open.Close()
	l.open = nil
	return err
}

func (l *Line) level() (high bool, err error) {
	if l.open == nil {
		path, err := find(l.kernel, l.Root, l.Chip)
		if err != nil {
			return false, err
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return fromFile(path)
		}
		if l.open, err = l.kernel.request(path, l.Offset, l.Bias); err != nil {
			l.open = nil // no handle that is half there
			return false, err
		}
	}
	return l.open.value()
}

// fromFile reads a file that stands for a line.
func fromFile(path string) (bool, error) {
	in, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("%w: %w", ErrGone, err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, 64))
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	switch string(bytes.TrimSpace(text)) {
	case "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, fmt.Errorf("%s holds %.20q; write 0 or 1 to it", path, text)
}

// find returns the path of a chip by its label, its name or its path.
func find(k kernel, root, chip string) (string, error) {
	if filepath.IsAbs(chip) {
		return filepath.Join("/", root, chip), nil
	}
	all, err := chips(k, root)
	if err != nil {
		return "", err
	}
	labels := []string{}
	for _, c := range all {
		if c.Label == chip || c.Name == chip {
			return c.Path, nil
		}
		labels = append(labels, c.Label)
	}
	if len(labels) == 0 {
		return "", fmt.Errorf("%w: this host has no GPIO chip", ErrGone)
	}
	return "", fmt.Errorf("%w: no GPIO chip %q; those of this host are: %s", ErrGone, chip, strings.Join(labels, ", "))
}

// Chips lists the GPIO chips of the host. Those that this user may not open are left out,
// unless there are no others.
func Chips(root string) ([]Chip, error) { return chips(linux{}, root) }

func chips(k kernel, root string) ([]Chip, error) {
	paths, err := filepath.Glob(filepath.Join("/", root, "dev/gpiochip*"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []Chip
	var denied error
	for _, path := range paths {
		c, err := k.look(path)
		switch {
		case errors.Is(err, fs.ErrPermission):
			denied = fmt.Errorf("%w to this user; add it to the group gpio: %w", ErrGone, err)
		case err == nil:
			all = append(all, c)
		}
	}
	if len(all) == 0 {
		return nil, denied
	}
	return all, nil
}
