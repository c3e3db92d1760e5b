package hostmetrics

import (
	"errors"
	"fmt"

	"github.com/prometheus/procfs"
)

// MemoryLeft is how many bytes programs can take before the host swaps (MemAvailable,
// proc_meminfo(5)). Proc is in place of /proc, if it is not empty.
func MemoryLeft(proc string) (int64, error) {
	if proc == "" {
		proc = procfs.DefaultMountPoint
	}
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return 0, fmt.Errorf("memory left: %w", err)
	}
	m, err := fs.Meminfo()
	if err == nil && m.MemAvailableBytes == nil {
		err = errors.New("the kernel does not tell MemAvailable")
	}
	if err != nil {
		return 0, fmt.Errorf("memory left: %w", err)
	}
	return int64(*m.MemAvailableBytes), nil
}
