package hostmetrics

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"primespark/shared/firmware"
)

func (c *Collector) frequency(send emit) error {
	files, err := c.under("devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
	if err != nil {
		return err
	}
	var failed error
	for _, f := range files {
		khz, err := number(f, 10)
		if err != nil {
			failed = err
			continue
		}
		name := filepath.Base(filepath.Dir(filepath.Dir(f)))
		send(cpuFrequency, float64(khz)*1000, strings.TrimPrefix(name, "cpu"))
	}
	return failed
}

// temperature reads the thermal zones and then the hardware monitors that are
// not among them. A sensor that sleeps, or reads what cannot be, is left out.
func (c *Collector) temperature(send emit) error {
	seen := map[string]int{}
	tell := func(name, file string) {
		milli, err := number(file, 10)
		degrees := float64(milli) / 1000
		if err != nil || degrees <= -40 || degrees == 0 || degrees > 150 {
			return
		}
		seen[name]++
		if n := seen[name]; n > 1 {
			name = fmt.Sprintf("%s-%d", name, n)
		}
		send(celsius, degrees, name)
	}
	zones, err := c.under("class/thermal/thermal_zone*")
	if err != nil {
		return err
	}
	slices.SortFunc(zones, natural)
	known := map[string]bool{}
	for _, z := range zones {
		name := word(filepath.Join(z, "type"))
		known[strings.ReplaceAll(name, "-", "_")] = true
		tell(name, filepath.Join(z, "temp"))
	}
	inputs, err := c.under("class/hwmon/hwmon*/temp*_input")
	if err != nil {
		return err
	}
	slices.SortFunc(inputs, natural)
	for _, f := range inputs {
		name := word(filepath.Join(filepath.Dir(f), "name"))
		if known[strings.ReplaceAll(name, "-", "_")] { // the kernel shows a zone here again
			continue
		}
		if label := word(strings.TrimSuffix(f, "_input") + "_label"); label != "" {
			name += " " + label
		}
		tell(name, f)
	}
	return nil
}

// throttle reads the word of a Raspberry Pi's firmware, from /sys where the kernel shows
// it, which it does not on a Pi 5, and else from the mailbox; and the kernel's own alarm.
func (c *Collector) throttle(send emit) error {
	w, err := c.throttled()
	switch {
	case err == nil:
		for i, reason := range firmware.Flags {
			send(throttled, is(w.Now(i)), reason)
			send(wasThrottled, is(w.SinceBoot(i)), reason)
		}
	case errors.Is(err, firmware.ErrNone):
		err = nil
	}
	alarms, failed := c.monitors("rpi_volt", "in0_lcrit_alarm")
	for _, f := range alarms {
		n, alarm := number(f, 10)
		if failed = errors.Join(failed, alarm); alarm == nil {
			send(underVoltage, float64(n))
		}
	}
	return errors.Join(err, failed)
}

func (c *Collector) throttled() (firmware.Throttle, error) {
	files, err := c.under("devices/platform/*/*firmware/get_throttled")
	if err == nil && len(files) == 0 {
		files, err = c.under("devices/platform/*firmware/get_throttled")
	}
	if err != nil || len(files) == 0 {
		return c.firmware.Throttled()
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	return firmware.ParseThrottle(string(text))
}

// supply asks the power chip of a Raspberry Pi 5; there is none elsewhere.
func (c *Collector) supply(send emit) error {
	s, err := c.firmware.Supply()
	if errors.Is(err, firmware.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	send(supplyVolts, s.Volts)
	send(boardWatts, s.Watts)
	return nil
}

// fan reads the fans that can tell how fast they turn.
func (c *Collector) fan(send emit) error {
	files, err := c.under("class/hwmon/hwmon*/fan*_input")
	if err != nil {
		return err
	}
	slices.SortFunc(files, natural)
	seen := map[string]int{}
	for _, f := range files {
		n, err := number(f, 10)
		if err != nil {
			continue // a fan that is not fitted
		}
		name := word(filepath.Join(filepath.Dir(f), "name"))
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s-%d", name, seen[name])
		}
		send(fanRPM, float64(n), name)
	}
	return nil
}

// monitors lists a file of the hardware monitors of that name.
func (c *Collector) monitors(name, file string) (files []string, err error) {
	names, err := c.under("class/hwmon/hwmon*/name")
	for _, f := range names {
		if word(f) == name {
			files = append(files, filepath.Join(filepath.Dir(f), file))
		}
	}
	return files, err
}

// number reads the one number of a small file.
func number(file string, base int) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimPrefix(strings.TrimSpace(string(b)), "0x"), base, 64)
}

// word reads the name in a small file; empty without one.
func word(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return ""
		}
		return "unknown"
	}
	return clean(strings.TrimSpace(string(b)))
}

// natural sorts zone2 before zone10, so that the first of two sensors of a name
// stays the first.
func natural(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
