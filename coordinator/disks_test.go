package coordinator

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"primespark/coordinator/consensus"
	"primespark/coordinator/disk"
	"primespark/shared/health"
)

func TestTiming(t *testing.T) {
	quick := disk.Latency{P50: time.Millisecond, P99: 8 * time.Millisecond, Count: 100}
	card := disk.Latency{P50: 27 * time.Millisecond, P99: 300 * time.Millisecond, Count: 30}
	for name, test := range map[string]struct {
		wanted string
		speed  disk.Latency
		want   string
		shown  []string
	}{
		"lan on an SSD":          {"lan", quick, "lan", nil},
		"lan on an SD card":      {"lan", card, "wan", []string{"slow_disk"}},
		"wan on an SD card":      {"wan", card, "wan", nil},
		"wan on an SSD":          {"wan", quick, "wan", nil},
		"nothing could be known": {"lan", disk.Latency{}, "lan", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := timing(test.wanted, test.speed)
			c := health.New(nil)
			tellSpeed(slog.New(slog.DiscardHandler), c, test.wanted, got, test.speed)
			if diff := cmp.Diff(test.shown, c.All().Codes()); got != test.want || diff != "" {
				t.Errorf("profile %s, want %s; conditions (-want +got):\n%s", got, test.want, diff)
			}
			if len(c.Reasons()) > 0 {
				t.Error("a slow disk makes the coordinator unready")
			}
		})
	}
}

// A hanging disk does so until it is released.
type hanging chan struct{}

func (h hanging) Sync() error { <-h; return nil }

func (hanging) Space() (free, size uint64, err error) { return 1 << 30, 2 << 30, nil }

// TestLostDisk: the process ends by itself ten seconds after the last success,
// without waiting for anything that waits for the disk.
func TestLostDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := make(hanging)
		defer close(h)
		log := slog.New(slog.DiscardHandler)
		w, err := disk.Watch(h, func(disk.State) {}, log, nil)
		if err != nil {
			t.Fatal(err)
		}
		begin, aborted := time.Now(), time.Duration(0)
		err = guarded(w, func() { aborted = time.Since(begin) }, log).Run(t.Context())
		if !errors.Is(err, disk.ErrLost) || aborted < 9*time.Second || aborted > 11*time.Second {
			t.Errorf("aborted after %v, and %v; want the disk lost after 10 s", aborted, err)
		}
	})
}

func TestDiskConditions(t *testing.T) {
	full := disk.State{Full: true, Free: 40 << 20, Floor: 64 << 20}
	hung := disk.State{Silence: 4 * time.Second}
	both := full
	both.Silence = hung.Silence
	for name, test := range map[string]struct {
		state          disk.State
		stance         consensus.Stance
		shown, unready []string
	}{
		"fine":           {disk.State{Silence: time.Second}, consensus.Willing, nil, nil},
		"full":           {full, consensus.Reluctant, []string{"storage_full"}, []string{"storage_full"}},
		"hangs":          {hung, consensus.Silent, []string{"disk_stalled"}, []string{"disk_stalled"}},
		"full, hangs":    {both, consensus.Silent, []string{"disk_stalled", "storage_full"}, []string{"disk_stalled", "storage_full"}},
		"slow":           {disk.State{Slow: true}, consensus.Willing, []string{"slow_disk"}, nil},
		"fine once more": {disk.State{}, consensus.Willing, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var stance consensus.Stance
			c := health.New(nil)
			d := disks{dir: "/state", take: func(s consensus.Stance) { stance = s }, conditions: c}
			d.act(test.state)
			if diff := cmp.Diff(test.shown, c.All().Codes()); stance != test.stance || diff != "" {
				t.Errorf("%v, want %v; conditions (-want +got):\n%s", stance, test.stance, diff)
			}
			if diff := cmp.Diff(test.unready, c.Reasons().Codes()); diff != "" {
				t.Errorf("unready for (-want +got):\n%s", diff)
			}
			for _, one := range c.All() {
				if one.Detail == "" || one.Remedy == "" {
					t.Errorf("%s without words: %+v", one.Code, one)
				}
			}
			d.act(disk.State{})
			if left := c.All(); len(left) > 0 || stance != consensus.Willing {
				t.Errorf("once all is well: %v, %v", left, stance)
			}
		})
	}
}
