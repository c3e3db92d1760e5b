package hostmetrics

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/procfs/blockdevice"
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

// Bytes is what all disks have read and written since the host came up.
func (d Disks) Bytes() (read, written float64, err error) {
	all, err := d.whole()
	for _, one := range all {
		read += float64(one.ReadSectors) * sector
		written += float64(one.WriteSectors) * sector
	}
	return read, written, err
}

// whole are the disks themselves: the bytes of a partition are in its disk's, and
// those of what lies on another disk, or in memory, are no wear.
func (d Disks) whole() ([]blockdevice.Diskstats, error) {
	all, err := d.fs.ProcDiskstats()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(one blockdevice.Diskstats) bool {
		for _, made := range []string{"loop", "ram", "zram", "dm-", "md"} {
			if strings.HasPrefix(one.DeviceName, made) {
				return true
			}
		}
		_, err := os.Stat(filepath.Join(d.sys, "block", one.DeviceName))
		return err != nil
	}), nil
}
