package gauge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"primespark/agent/battery"
)

// A supply is a battery that the kernel has a driver for, and the mains beside it
// (kernel, Documentation/ABI/testing/sysfs-class-power).
type supply struct {
	dir   string // of the class
	name  string // empty: the first battery
	cells float64
}

func openSupply(c Config, _ chip) battery.Reader {
	return supply{filepath.Join("/", c.Root, "sys/class/power_supply"), c.Supply, float64(c.Cells)}
}

// ErrNone is that there is no such battery on this host.
var ErrNone = errors.New("there is none on this host")

func (s supply) Read(context.Context) (battery.Reading, error) {
	name := s.name
	if name == "" {
		all := s.batteries()
		if len(all) == 0 {
			return battery.Reading{}, fmt.Errorf("battery in %s: %w", s.dir, ErrNone)
		}
		name = all[0]
	}
	b := attributes(filepath.Join(s.dir, name))
	status, err := b.text("status")
	if err != nil {
		return battery.Reading{}, fmt.Errorf("battery %s: %w", name, err)
	}
	var r battery.Reading
	volts, failed := b.number("voltage_now", 1e-6)
	r.Volts = battery.Volts(volts.Value / s.cells)
	charge, err := b.number("capacity", 1e-2)
	failed = errors.Join(failed, err)
	r.Charge = battery.Maybe[battery.Charge]{Value: battery.Charge(charge.Value), Known: charge.Known}
	amps, err := b.number("current_now", 1e-6)
	failed = errors.Join(failed, err)
	if amps.Known { // drivers disagree about its sign; the status tells
		r.Amps = battery.Known(math.Abs(amps.Value))
		if status == "Discharging" {
			r.Amps.Value = -r.Amps.Value
			r.Load = math.Abs(amps.Value) * volts.Value
		}
	}
	r.Celsius, err = b.number("temp", 0.1)
	failed = errors.Join(failed, err)
	if r.Mains = s.mains(status); r.Mains.Is(false) {
		for _, file := range []string{"time_to_empty_now", "time_to_empty_avg"} {
			if seconds, err := b.number(file, 1.0/60); err == nil && seconds.Value > 0 {
				r.Minutes = seconds
				break
			}
		}
	}
	if failed != nil {
		return battery.Reading{}, fmt.Errorf("battery %s: %w", name, failed)
	}
	return r, nil
}

// mains asks the supplies that are no batteries, and where there are none the battery's
// own status.
func (s supply) mains(status string) battery.Maybe[bool] {
	var known battery.Maybe[bool]
	for _, name := range s.list() {
		b := attributes(filepath.Join(s.dir, name))
		if kind, err := b.text("type"); err != nil || kind == "Battery" || b.foreign() {
			continue
		}
		if online, err := b.number("online", 1); err == nil && online.Known {
			known = battery.Known(known.Value || online.Value != 0)
		}
	}
	if known.Known {
		return known
	}
	switch status {
	case "Charging", "Full", "Not charging":
		return battery.Known(true)
	case "Discharging":
		return battery.Known(false)
	}
	return known
}

// batteries are those of the host itself: no mouse, no headset.
func (s supply) batteries() []string {
	return slices.DeleteFunc(s.list(), func(name string) bool {
		b := attributes(filepath.Join(s.dir, name))
		kind, err := b.text("type")
		return err != nil || kind != "Battery" || b.foreign()
	})
}

func (s supply) list() (names []string) {
	all, err := os.ReadDir(s.dir)
	if err != nil {
		return nil // a kernel without the class
	}
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// attributes is the folder of one supply.
type attributes string

// foreign reports whether the supply belongs to a device at this host.
func (a attributes) foreign() bool {
	scope, err := a.text("scope")
	return err == nil && scope == "Device"
}

func (a attributes) text(file string) (string, error) {
	f, err := os.Open(filepath.Join(string(a), file))
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 4096))
	return strings.TrimSpace(string(b)), err
}

// number reads an attribute that the supply need not have.
func (a attributes) number(file string, scale float64) (battery.Maybe[float64], error) {
	text, err := a.text(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return battery.Maybe[float64]{}, nil
	case err != nil:
		return battery.Maybe[float64]{}, err
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return battery.Maybe[float64]{}, fmt.Errorf("%s is %.20q: %w", file, text, err)
	}
	return battery.Known(float64(n) * scale), nil
}
