package sensors

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"primespark/shared/firmware"
	"primespark/shared/telemetry"
)

// A board is what a Raspberry Pi tells besides what every host does.
type board struct {
	sys      string
	firmware firmware.Mailbox
}

// throttle tells what holds the processor back now: by the firmware's word, and by the
// kernel's under-voltage alarm, which needs no permission.
func (b board) throttle(context.Context, time.Time) (telemetry.Value, error) {
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
	if alarm, ok := b.hwmon("rpi_volt", "in0_lcrit_alarm"); ok {
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
func (b board) supply(context.Context, time.Time) (telemetry.Value, error) {
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
func (b board) cooling(context.Context, time.Time) (telemetry.Value, error) {
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
		if x, ok := b.hwmon(f.monitor, f.file); ok {
			fields[f.field] = x * f.scale
		}
	}
	if len(fields) == 0 {
		return telemetry.Value{}, errNone
	}
	return telemetry.Fields(fields), nil
}

// hwmon reads a file of the first hardware monitor of that name that has it. Their
// numbers change at each boot.
func (b board) hwmon(name, file string) (x float64, ok bool) {
	names, err := filepath.Glob(filepath.Join(b.sys, "class/hwmon/hwmon*/name"))
	if err != nil {
		return 0, false // a path that is no pattern
	}
	for _, path := range names {
		if word(path) != name {
			continue
		}
		// A drive that sleeps does not answer; it is left out until it does.
		if x, err := strconv.ParseFloat(word(filepath.Join(filepath.Dir(path), file)), 64); err == nil && x > -1e6 && x < 1e6 {
			return x, true
		}
	}
	return 0, false
}

// word reads a small file; empty if it cannot be read.
func word(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
