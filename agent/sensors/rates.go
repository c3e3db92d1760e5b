package sensors

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/net"

	"primespark/shared/hostmetrics"
	"primespark/shared/telemetry"
)

// A rate turns counters into what they grew by in a second.
type rate struct {
	at   time.Time
	last map[string]float64
}

// per returns the growth of each counter since it was last called, per second.
// A counter that went back was reset, and grew from 0.
func (r *rate) per(now time.Time, counters map[string]float64) (map[string]float64, error) {
	last, seconds := r.last, now.Sub(r.at).Seconds()
	r.at, r.last = now, counters
	if last == nil || seconds <= 0 {
		return nil, errNotYet
	}
	out := map[string]float64{}
	for name, n := range counters {
		grown := n - last[name]
		if grown < 0 {
			grown = n
		}
		out[name+"_per_second"] = grown / seconds
	}
	return out, nil
}

// A diskSensor tells how full the disk at path is, and what all disks read and
// write.
type diskSensor struct {
	path, proc, sys string
	rate            rate
}

func (s *diskSensor) read(ctx context.Context, now time.Time) (telemetry.Value, error) {
	usage, err := disk.UsageWithContext(ctx, s.path)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read disk of %s: %w", s.path, err)
	}
	fields := map[string]float64{
		"used":        usage.UsedPercent / 100,
		"free_bytes":  float64(usage.Free),
		"total_bytes": float64(usage.Total),
	}
	// Not by gopsutil, which looks up labels and serial numbers of all disks each time.
	all, err := hostmetrics.NewDisks(s.proc, s.sys)
	if err != nil {
		return telemetry.Value{}, err
	}
	read, written, err := all.Bytes()
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read disk counters: %w", err)
	}
	// Without a rate yet, how full it is says enough.
	if rates, err := s.rate.per(now, map[string]float64{"read_bytes": read, "write_bytes": written}); err == nil {
		maps.Copy(fields, rates)
	}
	return telemetry.Fields(fields), nil
}

// A networkSensor tells what goes over the network: over the interfaces that
// are devices, or over all but loopback where none is, as in a container.
type networkSensor struct {
	sys  string
	rate rate
}

func (s *networkSensor) read(ctx context.Context, now time.Time) (telemetry.Value, error) {
	all, err := net.IOCountersWithContext(ctx, true)
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read network counters: %w", err)
	}
	devices, others := map[string]float64{}, map[string]float64{}
	for _, c := range all {
		sum := others
		if c.Name == "lo" {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.sys, "class/net", c.Name, "device")); err == nil {
			sum = devices
		}
		sum["received_bytes"] += float64(c.BytesRecv)
		sum["sent_bytes"] += float64(c.BytesSent)
		sum["errors"] += float64(c.Errin + c.Errout)
	}
	sum := devices
	if len(devices) == 0 {
		sum = others
	}
	if len(sum) == 0 {
		return telemetry.Value{}, errNone
	}
	rates, err := s.rate.per(now, sum)
	if err != nil {
		return telemetry.Value{}, err
	}
	return telemetry.Fields(rates), nil
}
