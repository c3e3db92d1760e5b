package outbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"primespark/shared/run"
)

// DailyBudget is how many bytes a node may write in a day: a card of 32 GB that
// bears 1,000 writes of each cell lasts 40 years by it, a bad one four.
const DailyBudget = 2_000_000_000

const (
	wearEvery  = time.Minute
	wearWindow = 10 // times wearEvery: over which the pace is measured
)

// Wear measures what this process writes to its disk, by the kernel's count in
// /proc/self/io. It is a part, and safe to share.
type Wear struct {
	path  string
	total atomic.Uint64 // bytes since the process began
	daily atomic.Uint64 // bytes in a day at the pace of the last minutes
}

// NewWear returns a Wear that has not measured yet. Registerer may be nil.
func NewWear(reg prometheus.Registerer) (*Wear, error) {
	w := &Wear{path: "/proc/self/io"}
	if reg == nil {
		return w, nil
	}
	err := errors.Join(
		reg.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "primespark_process_written_bytes_total", Help: "Bytes that this process had written to disks.",
		}, func() float64 { return float64(w.total.Load()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "primespark_process_written_bytes_per_day", Help: "Bytes that this process writes to disks in a day, at its pace of the last ten minutes.",
		}, func() float64 { return float64(w.daily.Load()) })),
		reg.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "primespark_process_written_bytes_per_day_budget", Help: "Bytes that it should write in a day at most.",
		}, func() float64 { return DailyBudget })),
	)
	if err != nil {
		return nil, fmt.Errorf("register the figures of the disk's wear: %w", err)
	}
	return w, nil
}

// Daily is how many bytes a day the process writes at its pace of the last ten
// minutes; 0 in the first one.
func (w *Wear) Daily() uint64 { return w.daily.Load() }

// Over reports whether that is more than the budget.
func (w *Wear) Over() bool { return w.Daily() > DailyBudget }

func (*Wear) String() string { return "disk wear" }

// Run measures until ctx ends. Without the kernel's count there is no figure.
func (w *Wear) Run(ctx context.Context) error {
	var counts []uint64
	for {
		if n, err := readWritten(w.path); err == nil {
			w.total.Store(n)
			if counts = append(counts, n); len(counts) > wearWindow+1 {
				counts = counts[1:]
			}
			if periods := len(counts) - 1; periods > 0 {
				each := (n - counts[0]) / uint64(periods)
				w.daily.Store(each * uint64(24*time.Hour/wearEvery))
			}
		}
		if !run.Sleep(ctx, wearEvery) {
			return nil
		}
	}
}

// readWritten reads write_bytes (proc_pid_io(5)): bytes that the process caused to
// be sent to the storage.
func readWritten(path string) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "write_bytes: "); ok {
			return strconv.ParseUint(text, 10, 64)
		}
	}
	return 0, errors.New("no write_bytes in " + path)
}
