package gpioline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A lab is a kernel whose chips are files of a folder.
type lab struct {
	t      *testing.T
	root   string
	labels map[string]string // by name of the chip
	high   bool
	fault  error // of reading a level
	taken  error // of asking for the line
	asked  []string
	open   int
}

func newLab(t *testing.T, labels map[string]string) *lab {
	l := &lab{t: t, root: t.TempDir(), labels: labels}
	if err := os.Mkdir(filepath.Join(l.root, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name := range labels {
		// Not a regular file, which would stand for a line.
		if err := os.Mkdir(filepath.Join(l.root, "dev", name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *lab) line(c Config) *Line {
	c.Root = l.root
	return &Line{Config: c, kernel: l}
}

func (l *lab) look(path string) (Chip, error) {
	label := l.labels[filepath.Base(path)]
	if label == "" {
		return Chip{}, &fs.PathError{Op: "open", Path: path, Err: unix.EACCES}
	}
	return Chip{path, filepath.Base(path), label, 54}, nil
}

func (l *lab) request(path string, offset int, bias Bias) (handle, error) {
	l.asked = append(l.asked, fmt.Sprintf("%s %d %s", filepath.Base(path), offset, bias))
	if l.taken != nil {
		return nil, l.taken
	}
	l.open++
	return l, nil
}

func (l *lab) value() (bool, error) { return l.high, l.fault }

func (l *lab) Close() error {
	l.open--
	return nil
}

func TestLineByLabel(t *testing.T) {
	l := newLab(t, map[string]string{"gpiochip0": "gpio-brcmstb@107d508500", "gpiochip4": "pinctrl-rp1"})
	for _, c := range []struct{ high, low, present bool }{{true, false, true}, {false, false, false}, {true, true, false}, {false, true, true}} {
		l.high = c.high
		line := l.line(Config{Chip: "pinctrl-rp1", Offset: 6, Low: c.low, Bias: BiasUp})
		if got, err := line.Present(t.Context()); got != c.present || err != nil {
			t.Errorf("high %v, low means present %v: %v, %v", c.high, c.low, got, err)
		}
		if err := line.Close(); err != nil || l.open != 0 {
			t.Errorf("closed: %v, %d open", err, l.open)
		}
	}
	if l.asked[0] != "gpiochip4 6 up" {
		t.Errorf("asked for %q", l.asked[0])
	}
}

func TestALineThatCannotBeReadIsNoLevel(t *testing.T) {
	l := newLab(t, map[string]string{"gpiochip4": "pinctrl-rp1"})
	l.high = true
	line := l.line(Config{Chip: "gpiochip4", Offset: 6})
	if on, err := line.Present(t.Context()); err != nil || !on {
		t.Fatal(on, err)
	}
	l.fault = unix.EIO
	if on, err := line.Present(t.Context()); on || !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), "line 6 of gpiochip4") || l.open != 0 {
		t.Errorf("%v, %v, %d open; want an error that says where, and the line given back", on, err, l.open)
	}
	l.fault = nil
	if on, err := line.Present(t.Context()); err != nil || !on || len(l.asked) != 2 {
		t.Errorf("afterwards %v, %v, asked %d times for it", on, err, len(l.asked))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := line.Present(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("too late: %v", err)
	}
}

func TestNoLine(t *testing.T) {
	for name, c := range map[string]struct {
		labels map[string]string
		taken  error
		is     error
		says   string
	}{
		"no chips":     {nil, nil, ErrGone, "no GPIO chip"},
		"another chip": {map[string]string{"gpiochip0": "cp210x"}, nil, ErrGone, "are: cp210x"},
		"not allowed":  {map[string]string{"gpiochip0": ""}, nil, fs.ErrPermission, "group gpio"},
		"taken":        {map[string]string{"gpiochip0": "pinctrl-rp1"}, ErrBusy, ErrBusy, "line 6"},
	} {
		l := newLab(t, c.labels)
		l.taken = c.taken
		_, err := l.line(Config{Chip: "pinctrl-rp1", Offset: 6}).Present(t.Context())
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
	}
}

func TestFileInPlaceOfALine(t *testing.T) {
	root := t.TempDir()
	line := New(Config{Chip: "/pld", Root: root})
	if _, err := line.Present(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]bool{"1\n": true, "0": false} {
		if err := os.WriteFile(filepath.Join(root, "pld"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := line.Present(t.Context()); got != want || err != nil {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "pld"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if on, err := line.Present(t.Context()); on || err == nil {
		t.Errorf("an empty file: %v, %v; want an error", on, err)
	}
}

func TestNotAChip(t *testing.T) {
	_, err := New(Config{Chip: "/dev/null", Offset: 6, Bias: BiasUp}).Present(t.Context())
	if !errors.Is(err, ErrGone) || !errors.Is(err, unix.ENOTTY) {
		t.Errorf("/dev/null: %v", err)
	}
	if _, err := New(Config{Chip: "/dev/null", Bias: "sideways"}).Present(t.Context()); err == nil || !strings.Contains(err.Error(), "none of up") {
		t.Errorf("an unknown bias: %v", err)
	}
}
