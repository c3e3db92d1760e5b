package sensors

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"primespark/shared/hostmetrics"
	"primespark/shared/procfile"
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
	path  string
	stats *procfile.File
	disks *hostmetrics.Counting
	rate  rate
}

func (s *diskSensor) read(_ context.Context, now time.Time) (telemetry.Value, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.path, &disk); err != nil {
		return telemetry.Value{}, fmt.Errorf("read disk of %s: %w", s.path, err)
	}
	// What only root may write counts neither as used nor as free, as in df(1).
	used, free, size := disk.Blocks-disk.Bfree, disk.Bavail, float64(disk.Bsize)
	fields := map[string]float64{
		"used":        float64(used) / float64(max(used+free, 1)),
		"free_bytes":  float64(free) * size,
		"total_bytes": float64(disk.Blocks) * size,
	}
	text, err := s.stats.Read()
	if err != nil {
		return telemetry.Value{}, err
	}
	read, written, err := s.disks.Bytes(now, text)
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
	dev  *procfile.File
	rate rate
	is   procfile.Answers // whether an interface is a device
}

func (s *networkSensor) read(_ context.Context, now time.Time) (telemetry.Value, error) {
	text, err := s.dev.Read()
	if err != nil {
		return telemetry.Value{}, err
	}
	var devices, others traffic
	var haveDevices, haveOthers bool
	err = parseTraffic(text, func(name []byte, t traffic) {
		sum, have := &others, &haveOthers
		if s.is.Ask(now, name, s.device) {
			sum, have = &devices, &haveDevices
		}
		sum.received, sum.sent, sum.errors, *have = sum.received+t.received, sum.sent+t.sent, sum.errors+t.errors, true
	})
	if err != nil {
		return telemetry.Value{}, fmt.Errorf("read network counters: %w", err)
	}
	if !haveDevices {
		devices = others
	}
	if !haveDevices && !haveOthers {
		return telemetry.Value{}, errNone
	}
	rates, err := s.rate.per(now, map[string]float64{
		"received_bytes": float64(devices.received), "sent_bytes": float64(devices.sent), "errors": float64(devices.errors),
	})
	if err != nil {
		return telemetry.Value{}, err
	}
	return telemetry.Fields(rates), nil
}

func (s *networkSensor) device(name string) bool {
	_, err := os.Stat(filepath.Join(s.sys, "class/net", name, "device"))
	return err == nil
}
