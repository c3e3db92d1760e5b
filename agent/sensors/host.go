package sensors

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/load"
	"github.com/shirou/gopsutil/v3/mem"

	"primespark/shared/telemetry"
)

// A cpuSensor tells how busy all cores were since it was last read.
type cpuSensor struct {
	busy, total float64 // seconds since boot
}

func (s *cpuSensor) read(ctx context.Context, _ time.Time) (telemetry.Value, error) {
	times, err := cpu.TimesWithContext(ctx, false)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read processor times: %w", err)
	}
	if len(times) != 1 {
		return telemetry.Value{}, fmt.Errorf("read processor times: %d lines instead of one", len(times))
	}
	t := times[0]
	// Guest time is in user time already; waiting for the disk is no work.
	busy := t.User + t.Nice + t.System + t.Irq + t.Softirq + t.Steal
	total := busy + t.Idle + t.Iowait
	spent, worked := total-s.total, busy-s.busy
	first := s.total == 0
	s.busy, s.total = busy, total
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

func readTemperature(ctx context.Context, _ time.Time) (telemetry.Value, error) {
	all, err := host.SensorsTemperaturesWithContext(ctx)
	if len(all) == 0 && err != nil {
		return telemetry.Value{}, fmt.Errorf("read temperature: %w", err)
	}
	// Some may be unreadable, such as a drive that sleeps; what can be read counts.
	celsius, ok := hottest(all)
	if !ok {
		return telemetry.Value{}, errNone
	}
	return telemetry.Number(celsius, "°C"), nil
}

// hottest returns the temperature of the processor, the hottest of its sensors,
// or of any where none is known to be the processor's. Readings that cannot be
// are left out: a sensor that is not there reads 0 or -273.
func hottest(all []host.TemperatureStat) (celsius float64, ok bool) {
	rank := func(s host.TemperatureStat) int {
		for _, name := range processor {
			if strings.HasPrefix(s.SensorKey, name) {
				return 1
			}
		}
		return 0
	}
	best := -1
	for _, s := range all {
		if s.Temperature <= -40 || s.Temperature == 0 || s.Temperature > 150 {
			continue
		}
		if r := rank(s); r > best || r == best && s.Temperature > celsius {
			best, celsius = r, s.Temperature
		}
	}
	return celsius, best >= 0
}
