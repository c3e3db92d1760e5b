package hostmetrics

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/procfs/blockdevice"

	"primespark/shared/procfile"
)

// sector is what the kernel counts disks in, in bytes, whatever the disk's own are
// (Documentation/admin-guide/iostats.rst).
const sector = 512

// Disks are the disks of a host.
type Disks struct {
	fs  blockdevice.FS
	sys string
}

// NewDisks reads below directories that stand for /proc and /sys.
func NewDisks(proc, sys string) (Disks, error) {
	fs, err := blockdevice.NewFS(proc, sys)
	if err != nil {
		return Disks{}, fmt.Errorf("host metrics: %w", err)
	}
	return Disks{fs, sys}, nil
}

// A Counting adds up what the disks of a host do. It is read for each sample of an
// agent, so it reads no more than that. It is for one goroutine.
type Counting struct {
	disks  Disks
	counts procfile.Answers
}

// NewCounting reads below a directory that stands for /sys.
func NewCounting(sys string) *Counting { return &Counting{disks: Disks{sys: sys}} }

// The columns of /proc/diskstats after the name (kernel, Documentation/admin-guide/iostats.rst).
const (
	sectorsRead    = 2
	sectorsWritten = 6
)

// Bytes is what all disks have read and written since the host came up, by the text of
// /proc/diskstats.
func (c *Counting) Bytes(now time.Time, diskstats []byte) (read, written float64, err error) {
	for line := range bytes.Lines(diskstats) {
		_, rest := procfile.Word(line) // major and minor number
		_, rest = procfile.Word(rest)
		name, rest := procfile.Word(rest)
		if len(name) == 0 || !c.counts.Ask(now, name, c.disks.counts) {
			continue
		}
		var n [sectorsWritten + 1]uint64
		found, err := procfile.Numbers(rest, n[:])
		if err != nil {
			return 0, 0, fmt.Errorf("%q of diskstats: %w", name, err)
		}
		if found < len(n) {
			continue
		}
		read += float64(n[sectorsRead]) * sector
		written += float64(n[sectorsWritten]) * sector
	}
	return read, written, nil
}

// whole are the disks themselves.
func (d Disks) whole() ([]blockdevice.Diskstats, error) {
	all, err := d.fs.ProcDiskstats()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(one blockdevice.Diskstats) bool { return !d.counts(one.DeviceName) }), nil
}

// counts reports whether a device is a disk: the bytes of a partition are in its
// disk's, and those of what lies on another disk, or in memory, are no wear.
func (d Disks) counts(device string) bool {
	for _, made := range []string{"loop", "ram", "zram", "dm-", "md"} {
		if strings.HasPrefix(device, made) {
			return false
		}
	}
	_, err := os.Stat(filepath.Join(d.sys, "block", device))
	return err == nil
}
