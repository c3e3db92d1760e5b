package sensors

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"primespark/shared/firmware"
	"primespark/shared/procfile"
	"primespark/shared/telemetry"
)

// A board is what a Raspberry Pi tells besides what every host does.
type board struct {
	sys      string
	firmware firmware.Mailbox
	monitors map[string][]string // folders of hardware monitors, by their names; the numbers change at each boot
	again    time.Time           // when to look which there are
}

// throttle tells what holds the processor back now: by the firmware's word, and by the
// kernel's under-voltage alarm, which needs no permission.
func (b *board) throttle(_ context.Context, now time.Time) (telemetry.Value, error) {
	fields := map[string]float64{}
	word, err := b.firmware.Throttled()
	if err == nil {
		for bit, name := range firmware.Flags {
			fields[name] = 0
			if word.Now(bit) {
				fields[name] = 1
			}
		}
	}
	// in0_lcrit_alarm of the monitor named rpi_volt (kernel, drivers/hwmon/raspberrypi-hwmon.c).
	if alarm, ok := b.hwmon(now, "rpi_volt", "in0_lcrit_alarm"); ok {
		fields["under_voltage"] = max(fields["under_voltage"], min(alarm, 1))
	}
	switch {
	case len(fields) > 0:
		return telemetry.Fields(fields), nil
	case err != nil && !errors.Is(err, firmware.ErrNone):
		return telemetry.Value{}, err
	}
	return telemetry.Value{}, errNone
}

// supply tells what the power chip measures.
func (b *board) supply(context.Context, time.Time) (telemetry.Value, error) {
	s, err := b.firmware.Supply()
	if errors.Is(err, firmware.ErrNone) {
		return telemetry.Value{}, errNone
	}
	if err != nil {
		return telemetry.Value{}, err
	}
	return telemetry.Fields(map[string]float64{"supply_volts": s.Volts, "board_watts": s.Watts}), nil
}

// cooling tells of the fan, and of what else gets hot. The Hailo has a stream of its own.
func (b *board) cooling(_ context.Context, now time.Time) (telemetry.Value, error) {
	fields := map[string]float64{}
	for _, f := range []struct {
		field, monitor, file string
		scale                float64
	}{
		{"fan_rpm", "pwmfan", "fan1_input", 1},
		{"fan_duty", "pwmfan", "pwm1", 1.0 / 255},
		{"nvme_celsius", "nvme", "temp1_input", 1e-3},
		{"io_celsius", "rp1_adc", "temp1_input", 1e-3},
	} {
		if x, ok := b.hwmon(now, f.monitor, f.file); ok {
			fields[f.field] = x * f.scale
		}
	}
	if len(fields) == 0 {
		return telemetry.Value{}, errNone
	}
	return telemetry.Fields(fields), nil
}

// hwmon reads a file of the first hardware monitor of that name that has it.
func (b *board) hwmon(now time.Time, name, file string) (x float64, ok bool) {
	if !now.Before(b.again) {
		b.monitors, b.again = map[string][]string{}, now.Add(absent)
		for _, path := range glob(b.sys, "class/hwmon/hwmon*/name") {
			b.monitors[word(path)] = append(b.monitors[word(path)], filepath.Dir(path))
		}
	}
	for _, dir := range b.monitors[name] {
		// A drive that sleeps does not answer; it is left out until it does.
		if x, err := strconv.ParseFloat(word(filepath.Join(dir, file)), 64); err == nil && x > -1e6 && x < 1e6 {
			return x, true
		}
	}
	return 0, false
}

// glob finds files below the folder that stands for /sys.
func glob(sys, pattern string) []string {
	all, err := filepath.Glob(filepath.Join(sys, pattern))
	if err != nil {
		return nil // a folder whose name is no pattern
	}
	return all
}

// word reads a small file; empty if it cannot be read.
func word(path string) string {
	text, err := procfile.Once(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(text)
}
