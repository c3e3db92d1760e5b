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

// What the bits of the firmware's word mean; 16 higher, that it was so since the
// boot (raspberrypi.com/documentation, "vcgencmd get_throttled").
var reasons = []string{"under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"}

// throttle reads the word of a Raspberry Pi's firmware; there is none elsewhere.
func (c *Collector) throttle(send emit) error {
	files, err := c.under("devices/platform/*/*firmware/get_throttled")
	if err == nil && len(files) == 0 {
		files, err = c.under("devices/platform/*firmware/get_throttled")
	}
	if err != nil || len(files) == 0 {
		return err
	}
	bits, err := number(files[0], 16)
	if err != nil {
		return err
	}
	for i, reason := range reasons {
		send(throttled, float64(bits>>i&1), reason)
		send(wasThrottled, float64(bits>>(16+i)&1), reason)
	}
	return nil
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
