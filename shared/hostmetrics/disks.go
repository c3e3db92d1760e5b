package hostmetrics

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs/blockdevice"
)

// sector is what the kernel counts disks in, in bytes, whatever the disk's own are
// (Documentation/admin-guide/iostats.rst).
const sector = 512

// Disks are the disks of a host.
type Disks struct {
	fs        blockdevice.FS
	proc, sys string
}

// NewDisks reads below directories that stand for /proc and /sys.
func NewDisks(proc, sys string) (Disks, error) {
	fs, err := blockdevice.NewFS(proc, sys)
	if err != nil {
		return Disks{}, fmt.Errorf("host metrics: %w", err)
	}
	return Disks{fs, proc, sys}, nil
}

// Bytes is what all disks have read and written since the host came up. It is read
// for each sample of an agent, so it reads no more than these two columns.
func (d Disks) Bytes() (read, written float64, err error) {
	text, err := os.ReadFile(filepath.Join(d.proc, "diskstats"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 10 || !d.counts(f[2]) {
			continue
		}
		r, badRead := strconv.ParseUint(f[5], 10, 64)
		w, badWritten := strconv.ParseUint(f[9], 10, 64)
		if err := errors.Join(badRead, badWritten); err != nil {
			return 0, 0, fmt.Errorf("%s of %s/diskstats: %w", f[2], d.proc, err)
		}
		read += float64(r) * sector
		written += float64(w) * sector
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
