package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/outbox"
	"primespark/shared/health"
	"primespark/shared/telemetry"
)

// A lab is a box that runs, in a bubble.
type lab struct {
	*outbox.Box
	t          *testing.T
	log        bytes.Buffer // read after stop
	conditions *health.Registry
	stop       func()
	seq        map[telemetry.Stream]uint64
}

func open(t *testing.T, dir string, change ...func(*outbox.Config)) *lab {
	t.Helper()
	l := &lab{t: t, conditions: health.New(nil), seq: map[telemetry.Stream]uint64{}}
	cfg := outbox.Config{
		Dir: dir, MaxSize: 1 << 30, MaxAge: time.Hour, Every: func() time.Duration { return time.Second },
		Conditions: l.conditions, Log: slog.New(slog.NewTextHandler(&l.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	b, err := outbox.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Box = b
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	l.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	return l
}

// keep keeps n samples of a stream of a process that began at boot.
func (l *lab) keep(boot int64, stream telemetry.Stream, n int) {
	for range n {
		l.seq[stream]++
		l.Keep(telemetry.Sample{Boot: boot, Stream: stream, Seq: l.seq[stream], At: time.Now().UTC(), Value: telemetry.Number(1, "")})
	}
}

func (l *lab) acknowledge(boot int64, stream telemetry.Stream, seq uint64) {
	l.Acknowledge(telemetry.Ack{Boot: boot, Streams: map[telemetry.Stream]uint64{stream: seq}})
}

// waiting is what is on disk, as "stream first-last (count)".
func (l *lab) waiting(n uint64) string {
	l.t.Helper()
	all, err := l.Read(n, 100_000)
	if err != nil {
		l.t.Fatal(err)
	}
	if len(all) == 0 {
		return "nothing"
	}
	first, last := all[0], all[len(all)-1]
	return fmt.Sprintf("%s %d to %s %d (%d)", first.Stream, first.Seq, last.Stream, last.Seq, len(all))
}

func (l *lab) lead(boot int64, stream telemetry.Stream) (words string) {
	for _, s := range l.Lead(boot, stream) {
		words += fmt.Sprintf("%s %d-%d;", s.Gap.Reason, s.Gap.From, s.Seq)
	}
	return words
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func bubble(t *testing.T, story func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(30 * 365 * 24 * time.Hour) // bubbles begin in 2000, before all plausible clocks
		story(t)
	})
}

func TestCommitsAreBatched(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := open(t, t.TempDir())
		defer l.stop()
		l.keep(1, "cpu", 3)
		synctest.Wait()
		expect(t, "at once", l.waiting(0), "nothing")
		time.Sleep(time.Second)
		synctest.Wait()
		expect(t, "after a second", l.waiting(0), "cpu 1 to cpu 3 (3)")
		l.keep(1, "cpu", 200)
		synctest.Wait()
		expect(t, "200 at once", l.waiting(0), "cpu 1 to cpu 203 (203)")
		expect(t, "after the third", l.waiting(3), "cpu 4 to cpu 203 (200)")
		if n, _ := l.Last(); n != 203 || l.First() != 1 || l.Waiting() != 203 {
			t.Errorf("first %d, last %d, %d waiting", l.First(), n, l.Waiting())
		}
	})
}

func TestWhatIsAcknowledgedGoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		for range 5 {
			l.keep(1, "cpu", 1)
			l.keep(1, "disk", 1)
		}
		time.Sleep(1500 * time.Millisecond)
		l.acknowledge(1, "cpu", 3)
		time.Sleep(2 * time.Second)
		expect(t, "one stream", l.waiting(0), "disk 1 to disk 5 (9)") // its samples lie between the others
		expect(t, "lead", l.lead(1, "cpu"), "settled 1-3;")
		l.acknowledge(1, "disk", 4)
		time.Sleep(2 * time.Second)
		expect(t, "both", l.waiting(0), "cpu 4 to disk 5 (4)")
		l.stop()

		l = open(t, dir)
		expect(t, "a new process", l.waiting(0), "cpu 4 to disk 5 (4)")
		expect(t, "lead", l.lead(1, "cpu")+l.lead(1, "disk"), "settled 1-3;settled 1-3;")
		l.acknowledge(1, "cpu", 5)
		l.acknowledge(1, "disk", 5)
		l.keep(2, "cpu", 1)
		time.Sleep(2 * time.Second)
		expect(t, "all old", l.waiting(0), "cpu 1 to cpu 1 (1)")
		l.stop()
		l = open(t, dir)
		defer l.stop()
		if n, _ := l.Last(); n != 11 {
			t.Errorf("last is %d, want 11: numbers go on", n)
		}
	})
}

func TestTheOldestMakeRoom(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir, func(c *outbox.Config) { c.MaxSize = 20_000 })
		l.keep(1, "cpu", 1000)
		time.Sleep(1500 * time.Millisecond)
		l.acknowledge(1, "cpu", 10) // of what is gone
		time.Sleep(2 * time.Second)
		all, err := l.Read(0, 9999)
		if err != nil || len(all) < 200 || len(all) > 500 {
			t.Fatalf("%d samples in 20 kB, %v", len(all), err)
		}
		expect(t, "lead", l.lead(1, "cpu"), fmt.Sprintf("settled 1-10;full 1-%d;", all[0].Seq-1))
		l.stop()
		if !strings.Contains(l.log.String(), "oldest samples were dropped") {
			t.Error("nobody was told")
		}

		l = open(t, dir)
		defer l.stop()
		expect(t, "in the next process", l.lead(1, "cpu"), fmt.Sprintf("full 1-%d;", all[0].Seq-1))
		l.acknowledge(1, "cpu", 1000)
		l.keep(2, "cpu", 1)
		time.Sleep(2 * time.Second)
		l.acknowledge(2, "cpu", 1001)
		time.Sleep(2 * time.Second)
		expect(t, "settled", l.lead(1, "cpu"), "")
	})
}

func TestOldSamplesGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := open(t, t.TempDir())
		defer l.stop()
		l.keep(1, "cpu", 10)
		l.Keep(telemetry.Sample{Boot: 1, Stream: "disk", Seq: 1, At: time.Unix(1000, 0), Value: telemetry.Number(1, "")})
		time.Sleep(59 * time.Minute)
		l.keep(1, "cpu", 5)
		time.Sleep(2 * time.Minute)
		expect(t, "after an hour", l.waiting(0), "disk 1 to cpu 15 (6)") // the clock was not set when that was measured
		expect(t, "lead", l.lead(1, "cpu"), "age 1-10;")
	})
}

func TestDamageIsPutAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		dir := t.TempDir()
		l := open(t, dir)
		l.keep(1, "cpu", 100)
		l.stop()
		path := filepath.Join(dir, "outbox.db")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, damage := range map[string]func([]byte) []byte{
			"a byte": func(b []byte) []byte { b[bytes.LastIndex(b, []byte("cpu"))] ^= 1; return b },
			"zeroed": func(b []byte) []byte { return make([]byte, len(b)) },
			"half":   func(b []byte) []byte { return b[:len(b)/2] },
			"empty":  func([]byte) []byte { return nil },
		} {
			if err := os.WriteFile(path, damage(bytes.Clone(b)), 0o600); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			l = open(t, dir)
			if _, err := os.Stat(l.Damaged()); err != nil || time.Since(start) > 2*time.Second {
				t.Errorf("%s: put aside to %q, %v", name, l.Damaged(), err)
			}
			l.seq = map[telemetry.Stream]uint64{}
			l.keep(2, "cpu", 1)
			time.Sleep(time.Second)
			synctest.Wait()
			expect(t, name, l.waiting(0), "cpu 1 to cpu 1 (1)")
			if codes := l.conditions.All().Codes(); len(codes) != 1 || codes[0] != string(health.CorruptStore) {
				t.Errorf("%s: conditions %v", name, codes)
			}
			l.stop()
		}
	})
}

func TestWear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := outbox.NewWear(nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Run(ctx) }()
		path := filepath.Join(t.TempDir(), "x")
		for range 3 {
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Write(make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// 1 MiB a minute, unless the file system is one that writes nothing.
		if d := w.Daily(); d != 0 && d < 1<<29 {
			t.Errorf("%d bytes a day, want 1,5 GB", d)
		}
	})
}
