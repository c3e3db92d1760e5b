package sensors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"

	"primespark/shared/procfile"
	"primespark/shared/telemetry"
)

// A cpuSensor tells how busy all cores were since it was last read.
type cpuSensor struct {
	stat *procfile.File
	last times
}

func (s *cpuSensor) read(ctx context.Context, _ time.Time) (telemetry.Value, error) {
	text, err := s.stat.Read()
	if err != nil {
		return telemetry.Value{}, err
	}
	now, err := parseTimes(text)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("processor times: %w", err)
	}
	spent, worked, first := now.total-s.last.total, now.busy-s.last.busy, s.last.total == 0
	s.last = now
	if first || spent <= 0 {
		return telemetry.Value{}, errNotYet
	}
	loads, err := load.AvgWithContext(ctx)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read load: %w", err)
	}
	return telemetry.Fields(map[string]float64{
		"used":    min(max(worked/spent, 0), 1), // idle time may go back a little (proc(5))
		"load_1m": loads.Load1,
	}), nil
}

func readMemory(ctx context.Context, _ time.Time) (telemetry.Value, error) {
	v, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read memory: %w", err)
	}
	if v.Total == 0 || v.Available > v.Total {
		return telemetry.Value{}, fmt.Errorf("read memory: %d of %d bytes available", v.Available, v.Total)
	}
	used := v.Total - v.Available
	return telemetry.Fields(map[string]float64{
		"used":            float64(used) / float64(v.Total),
		"used_bytes":      float64(used),
		"total_bytes":     float64(v.Total),
		"swap_used_bytes": float64(v.SwapTotal - min(v.SwapFree, v.SwapTotal)),
	}), nil
}

// Names that drivers give to the processor's own sensor: of Raspberry Pis, of
// Intel, of AMD, and what the thermal zones of others begin with.
var processor = []string{"cpu_thermal", "cpu-thermal", "coretemp", "k10temp", "x86_pkg_temp", "soc", "cpu"}

// A thermometer is a file with thousandths of a degree Celsius (kernel,
// Documentation/hwmon/sysfs-interface.rst and driver-api/thermal/sysfs-api.rst).
type thermometer struct{ name, path string }

// Thermometers tells how hot the processor is.
type thermometers struct {
	sys   string
	all   []thermometer
	again time.Time // when to look which there are
}

func (t *thermometers) read(_ context.Context, now time.Time) (telemetry.Value, error) {
	if !now.Before(t.again) {
		t.look(now)
	}
	celsius, err := t.hottest()
	if errors.Is(err, fs.ErrNotExist) { // one went meanwhile
		t.look(now)
		celsius, err = t.hottest()
	}
	if err != nil {
		return telemetry.Value{}, err
	}
	return telemetry.Number(celsius, "°C"), nil
}

// look finds the monitors' thermometers, and where there are none the thermal zones.
func (t *thermometers) look(now time.Time) {
	t.all, t.again = nil, now.Add(absent)
	for _, pattern := range []string{"class/hwmon/hwmon*/temp*_input", "class/hwmon/hwmon*/device/temp*_input"} {
		for _, path := range glob(t.sys, pattern) {
			t.all = append(t.all, thermometer{word(filepath.Join(filepath.Dir(path), "name")), path})
		}
		if len(t.all) > 0 {
			return
		}
	}
	for _, path := range glob(t.sys, "class/thermal/thermal_zone*/temp") {
		t.all = append(t.all, thermometer{word(filepath.Join(filepath.Dir(path), "type")), path})
	}
}

// hottest returns the temperature of the processor, the hottest of its sensors,
// or of any where none is known to be the processor's. Readings that cannot be
// are left out: a sensor that is not there reads 0 or -273. So is one that cannot
// be read, such as that of a drive which sleeps, unless none can.
func (t *thermometers) hottest() (celsius float64, err error) {
	best, failed := -1, errNone
	for _, one := range t.all {
		text, err := procfile.Once(one.path)
		if err != nil {
			failed = fmt.Errorf("read temperature: %w", err)
			continue
		}
		milli, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		if x := milli / 1000; err == nil && x > -40 && x != 0 && x <= 150 {
			if r := one.rank(); r > best || r == best && x > celsius {
				best, celsius = r, x
			}
		}
	}
	if best < 0 {
		return 0, failed
	}
	return celsius, nil
}

func (t thermometer) rank() int {
	for _, name := range processor {
		if strings.HasPrefix(t.name, name) {
			return 1
		}
	}
	return 0
}
