// Package hostmetrics tells Prometheus how the host fares: processor, memory,
// disks, file systems, network, temperature, throttling and clock, and of a
// Raspberry Pi the supply and the fan. It covers what people use of node_exporter,
// so that a Pi needs no second agent.
//
// It reads Linux's /proc and /sys when it is scraped and keeps nothing. What a
// host does not have, as most virtual machines have no thermal sensor, is left
// out; what cannot be read shows as primespark_host_readable 0 with the rest
// going on. Names end in base units: seconds, bytes, celsius, hertz, ratio.
package hostmetrics

import (
	"fmt"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/procfs"

	"primespark/shared/firmware"
)

// Config says where to read. The zero value reads the real host.
type Config struct {
	Proc string // in place of /proc
	Sys  string // in place of /sys

	Firmware firmware.Mailbox // of a Raspberry Pi
}

// A Collector reads the host at each scrape. It is safe to share.
type Collector struct {
	proc, sys string
	firmware  firmware.Mailbox
	fs        procfs.FS
	disks     Disks
}

var _ prometheus.Collector = (*Collector)(nil)

// New returns a collector for a registry. It fails where there is no /proc.
func New(c Config) (*Collector, error) {
	if c.Proc == "" {
		c.Proc = "/proc"
	}
	if c.Sys == "" {
		c.Sys = "/sys"
	}
	fs, err := procfs.NewFS(c.Proc)
	if err != nil {
		return nil, fmt.Errorf("host metrics: %w", err)
	}
	disks, err := NewDisks(c.Proc, c.Sys)
	if err != nil {
		return nil, err
	}
	return &Collector{c.Proc, c.Sys, c.Firmware, fs, disks}, nil
}

// readers are what there is to read, by the name that readable bears.
var readers = []struct {
	name string
	read func(*Collector, emit) error
}{
	{"cpu", (*Collector).cpu},
	{"frequency", (*Collector).frequency},
	{"load", (*Collector).load},
	{"memory", (*Collector).memory},
	{"disk", (*Collector).disk},
	{"filesystem", (*Collector).filesystems},
	{"network", (*Collector).network},
	{"temperature", (*Collector).temperature},
	{"throttle", (*Collector).throttle},
	{"supply", (*Collector).supply},
	{"fan", (*Collector).fan},
	{"time", (*Collector).time},
	{"info", (*Collector).info},
}

// emit hands out one value.
type emit func(d *desc, value float64, labels ...string)

// Describe sends what there can be.
func (c *Collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range all {
		out <- d.desc
	}
}

// Collect reads the host.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	send := func(d *desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d.desc, d.kind, value, labels...)
	}
	for _, r := range readers {
		ok := 1.0
		if err := r.read(c, send); err != nil {
			ok = 0 // the scrape shows it; a log line each 15 s would say no more
		}
		send(readable, ok, r.name)
	}
}

// under lists the files of /sys that match.
func (c *Collector) under(pattern string) ([]string, error) {
	return filepath.Glob(filepath.Join(c.sys, pattern))
}
