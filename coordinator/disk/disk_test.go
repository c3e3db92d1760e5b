package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

const mib, gib = uint64(1) << 20, uint64(1) << 30

func TestFull(t *testing.T) {
	for name, test := range map[string]struct {
		free, size uint64
		was, want  bool
	}{
		"half of an SD card":             {16 * gib, 32 * gib, false, false},
		"1 % of an SD card":              {320 * mib, 32 * gib, false, true},
		"3 % of an SD card":              {960 * mib, 32 * gib, false, false},
		"64 MiB are least":               {63 * mib, gib, false, true},
		"and enough on a small one":      {64 * mib, gib, false, false},
		"a large disk has 1 GiB":         {gib, 8192 * gib, false, false},
		"a large disk has less":          {gib - 1, 8192 * gib, false, true},
		"a tiny disk may be tiny":        {7 * mib, 24 * mib, false, false},
		"a tiny disk full":               {5 * mib, 24 * mib, false, true},
		"no room at all":                 {0, 32 * gib, false, true},
		"a little room came back":        {70 * mib, gib, true, true},
		"a quarter more came back":       {80 * mib, gib, true, false},
		"little was never full":          {70 * mib, gib, false, false},
		"a disk that says nothing of it": {0, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := State{Full: test.was}.after(reading{free: test.free, size: test.size})
			if s.Full != test.want {
				t.Errorf("full %t, want %t: %d MiB free, floor %d MiB", s.Full, test.want, test.free/mib, s.Floor/mib)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	room := reading{free: gib, size: 8 * gib}
	with := func(err error) reading { r := room; r.err = err; return r }
	silent := State{Silence: 2 * time.Second}
	for name, test := range map[string]struct {
		r       reading
		silence time.Duration
		full    bool
	}{
		"success":          {room, 0, false},
		"no space":         {with(fmt.Errorf("write: %w", unix.ENOSPC)), 0, true},
		"quota":            {with(unix.EDQUOT), 0, true},
		"read-only":        {with(unix.EROFS), 2 * time.Second, false},
		"input, output":    {with(unix.EIO), 2 * time.Second, false},
		"room not known":   {reading{spaceErr: unix.EIO}, 0, false},
		"nothing is known": {reading{err: unix.EIO, spaceErr: unix.EIO}, 2 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			if s := silent.after(test.r); s.Silence != test.silence || s.Full != test.full {
				t.Errorf("silence %v, full %t; want %v, %t", s.Silence, s.Full, test.silence, test.full)
			}
		})
	}
	if s := (State{}).after(with(unix.ENOSPC)).after(room); s.Full {
		t.Error("full after a write that succeeded with room to spare")
	}
}

func TestSlow(t *testing.T) {
	after := func(s State, times int, took time.Duration) State {
		for range times {
			s = s.after(reading{took: took, free: gib, size: gib})
		}
		return s
	}
	s := after(State{}, recent, time.Millisecond)
	if s = after(s, recent/20, time.Second); s.Slow {
		t.Error("slow by three stalls in a minute")
	}
	if s = after(s, recent, 60*time.Millisecond); !s.Slow {
		t.Error("not slow at 60 ms")
	}
	if s = after(s, recent, 40*time.Millisecond); !s.Slow {
		t.Error("quick again at 40 ms, which is close to slow")
	}
	if s = after(s, recent, 10*time.Millisecond); s.Slow {
		t.Error("still slow at 10 ms")
	}
	if s = after(State{}, 5, time.Second); s.Slow {
		t.Error("slow by five probes")
	}
	if n := len(s.took); n > recent {
		t.Errorf("%d probes are kept", n)
	}
}

func TestLatency(t *testing.T) {
	ms := func(all ...int) (d []time.Duration) {
		for _, n := range all {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	hundred := slices.Repeat(ms(2), 99)
	for name, test := range map[string]struct {
		took []time.Duration
		want Latency
		slow bool
	}{
		"none":                     {nil, Latency{}, false},
		"one":                      {ms(7), Latency{7 * time.Millisecond, 7 * time.Millisecond, 1}, false},
		"one outlier of a hundred": {append(hundred, ms(900)...), Latency{2 * time.Millisecond, 2 * time.Millisecond, 100}, false},
		"an SSD on a busy host":    {append(slices.Repeat(ms(1), 95), ms(60, 70, 80, 90, 400)...), Latency{time.Millisecond, 90 * time.Millisecond, 100}, false},
		"an SD card":               {ms(27, 25, 300, 27, 26), Latency{27 * time.Millisecond, 300 * time.Millisecond, 5}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := latency(test.took); got != test.want || got.Slow() != test.slow {
				t.Errorf("got %+v, slow %t; want %+v, %t", got, got.Slow(), test.want, test.slow)
			}
		})
	}
}

// A fake disk answers after a while, or not until it is released, or with an error.
type fake struct {
	also  func() error // what else has to be on it; nil: nothing
	mu    sync.Mutex
	took  time.Duration
	hang  chan struct{} // nil: none
	err   error
	syncs int
}

func (f *fake) set(change func(*fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Sync() error {
	f.mu.Lock()
	f.syncs++
	took, hang, err := f.took, f.hang, f.err
	f.mu.Unlock()
	time.Sleep(took)
	if hang != nil {
		<-hang
	}
	return err
}

func (f *fake) count() (n int) { f.set(func(f *fake) { n = f.syncs }); return n }

func (f *fake) Space() (free, size uint64, err error) { return gib, 2 * gib, nil }

func TestMeasure(t *testing.T) {
	for name, test := range map[string]struct {
		took  time.Duration
		count int
		slow  bool
		within
	}{
		"SSD":     {200 * time.Microsecond, 100, false, within{0, 100 * time.Millisecond}},
		"SD card": {27 * time.Millisecond, 38, false, within{time.Second, 1100 * time.Millisecond}},
		"bad one": {80 * time.Millisecond, 13, true, within{time.Second, 1100 * time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				l := Measure(&fake{took: test.took})
				if l.P50 != test.took || l.P99 != test.took || l.Count != test.count || l.Slow() != test.slow {
					t.Errorf("got %+v, slow %t", l, l.Slow())
				}
				test.check(t, time.Since(start))
			})
		})
	}
	t.Run("hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{hang: make(chan struct{})}
			start := time.Now()
			if l := Measure(f); l.Count != 1 || !l.Slow() {
				t.Errorf("got %+v of a disk that hangs", l)
			}
			within{time.Second, 2 * time.Second}.check(t, time.Since(start))
			close(f.hang)
		})
	})
	t.Run("fails", func(t *testing.T) {
		if l := Measure(&fake{err: unix.EROFS}); l != (Latency{}) || l.Slow() {
			t.Errorf("got %+v of a disk that refuses", l)
		}
	})
}

type within struct{ least, most time.Duration }

func (w within) check(t *testing.T, took time.Duration) {
	t.Helper()
	if took < w.least || took > w.most {
		t.Errorf("took %v, want between %v and %v", took, w.least, w.most)
	}
}

// watch runs a watchdog over f and returns its newest state and what Run returned.
func watch(t *testing.T, f *fake) (state func() State, ended <-chan error) {
	t.Helper()
	var mu sync.Mutex
	var newest State
	w, err := Watch(f, func(s State) { mu.Lock(); defer mu.Unlock(); newest = s }, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if f.also != nil {
		w.Also(f.also)
	}
	ctx, cancel := context.WithCancel(t.Context())
	end, done := make(chan error, 1), make(chan struct{})
	go func() { defer close(done); end <- w.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return func() State { mu.Lock(); defer mu.Unlock(); return newest }, end
}

func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{took: 5 * time.Millisecond}
		state, ended := watch(t, f)
		time.Sleep(time.Hour + 100*time.Millisecond) // 100 ms after a probe
		if s, n := state(), f.count(); s.Hung() || s.Full || s.Slow || n < 3600 || n > 3601 {
			t.Fatalf("after an hour: %+v, %d probes", s, n)
		}
		hang := make(chan struct{})
		f.set(func(f *fake) { f.hang = hang })
		for end := time.Now().Add(time.Minute); !state().Hung() && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		if s := state(); !s.Hung() || s.Silence != hungAfter {
			t.Fatalf("silent for %v only after a minute", s.Silence)
		}
		f.set(func(f *fake) { f.hang = nil })
		close(hang)
		time.Sleep(100 * time.Millisecond)
		if s := state(); s.Hung() {
			t.Error("still silent although the disk answers")
		}

		hang = make(chan struct{})
		f.set(func(f *fake) { f.hang = hang })
		start := time.Now()
		err := <-ended
		if !errors.Is(err, ErrLost) {
			t.Errorf("Run = %v, want that the disk is lost", err)
		}
		within{lostAfter - time.Second, lostAfter + time.Second}.check(t, time.Since(start))
		close(hang)
	})
}

// TestLogHangs: a disk that takes the probe, and not what else has to be on it.
func TestLogHangs(t *testing.T) {
	release := make(chan struct{})
	for name, test := range map[string]struct {
		also       func() error
		hung, full bool
	}{
		"takes it": {func() error { return nil }, false, false},
		"is slow":  {func() error { time.Sleep(900 * time.Millisecond); return nil }, false, false},
		"hangs":    {func() error { <-release; return nil }, true, false},
		"fails":    {func() error { return unix.EIO }, true, false},
		"is full":  {func() error { return unix.ENOSPC }, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release = make(chan struct{})
				defer close(release)
				state, _ := watch(t, &fake{took: time.Millisecond, also: test.also})
				time.Sleep(hungAfter + time.Second + 2*look)
				if s := state(); s.Hung() != test.hung || s.Full != test.full || s.Slow || s.Typical() > time.Millisecond {
					t.Errorf("hung %t, full %t, slow %t, typically %v; want %t, %t and the probe's millisecond", s.Hung(), s.Full, s.Slow, s.Typical(), test.hung, test.full)
				}
			})
		})
	}
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		w, err := Watch(&fake{took: 20 * time.Millisecond}, func(State) {}, slog.New(slog.DiscardHandler), r)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9500*time.Millisecond)
		defer cancel()
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			switch m := f.GetMetric()[0]; f.GetName() {
			case "primespark_disk_fsync_seconds":
				if h := m.GetHistogram(); h.GetSampleCount() != 10 || h.GetSampleSum() < 0.199 || h.GetSampleSum() > 0.201 {
					t.Errorf("%d probes of %v s together, want 10 of 0.2", h.GetSampleCount(), h.GetSampleSum())
				}
			case "primespark_disk_free_bytes":
				if free := m.GetGauge().GetValue(); free != float64(gib) {
					t.Errorf("%v bytes free", free)
				}
			default:
				t.Errorf("a metric %s", f.GetName())
			}
		}
		if len(families) != 2 {
			t.Errorf("%d metrics", len(families))
		}
		if _, err := Watch(&fake{}, nil, nil, r); err == nil {
			t.Error("the same metrics twice")
		}
	})
}

// TestHungSoonEnough has the disk hang at any moment between two probes.
func TestHungSoonEnough(t *testing.T) {
	for offset := 10 * time.Millisecond; offset < every; offset += 70 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{took: time.Millisecond}
			state, _ := watch(t, f)
			time.Sleep(time.Minute + offset)
			hang := make(chan struct{})
			f.set(func(f *fake) { f.hang = hang })
			time.Sleep(1900 * time.Millisecond)
			if state().Hung() {
				t.Errorf("offset %v: hung after 1.9 s", offset)
			}
			time.Sleep(1100*time.Millisecond + look)
			if !state().Hung() {
				t.Errorf("offset %v: not hung after 3 s", offset)
			}
			close(hang)
		})
	}
}

// TestProcessStoodStill: what the process slept through, it cannot know.
func TestProcessStoodStill(t *testing.T) {
	var s State
	s = s.waited() // the first tick after SIGCONT; the ticker drops the others
	if s.Hung() || s.Lost() {
		t.Errorf("one look counts for %v", s.Silence)
	}
}

func TestReadOnlyDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{err: unix.EROFS}
		_, ended := watch(t, f)
		start := time.Now()
		if err := <-ended; !errors.Is(err, ErrLost) || !errors.Is(err, unix.EROFS) {
			t.Errorf("Run = %v, want that the disk is lost, being read-only", err)
		}
		within{lostAfter - look, lostAfter + look}.check(t, time.Since(start))
		if n := f.count(); n < 9 {
			t.Errorf("%d tries", n)
		}
	})
}

func TestRealDisk(t *testing.T) {
	path := t.TempDir()
	d := At(path)
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := d.Sync(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(path, probeFile))
	if err != nil || info.Size() != int64(len(block)) {
		t.Errorf("the probe: %v, %v", info, err)
	}
	free, size, err := d.Space()
	if err != nil || free > size || size == 0 {
		t.Errorf("%d of %d bytes free, %v", free, size, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Sync(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Sync after Close = %v", err)
	}
	if err := At(filepath.Join(path, "none")).Sync(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Sync without a directory = %v", err)
	}
}
