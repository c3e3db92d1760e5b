package cache

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func key(i int) (k Key) {
	copy(k[:], fmt.Sprintf("question %d", i))
	return k
}

func value(i, size int) []byte { return bytes.Repeat([]byte{byte(i)}, size) }

func config(path string) Config {
	return Config{
		Path: path, Memory: 1 << 20, Disk: 4 << 20, Daily: 8 << 20, Age: time.Hour,
		Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}
}

// start runs a cache as a process that has just begun. Ended is how it stops, killed
// leaves the file as a power cut does.
func start(t *testing.T, cfg Config) (c *Cache, ended func()) {
	t.Helper()
	cfg.Metrics = prometheus.NewRegistry()
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	synctest.Wait()
	return c, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func has(c *Cache, i, size int) bool {
	got, ok := c.Get(key(i))
	return ok && bytes.Equal(got, value(i, size))
}

func story(t *testing.T, tell func(t *testing.T, path string)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cache", "results.db")
	synctest.Test(t, func(t *testing.T) { tell(t, path) })
}

// TestTwice: what was asked twice survives a restart, what was asked once does not reach
// the disk.
func TestTwice(t *testing.T) {
	story(t, func(t *testing.T, path string) {
		c, ended := start(t, config(path))
		c.Put(key(1), value(1, 100))
		c.Put(key(2), value(2, 100))
		if !has(c, 1, 100) || has(c, 3, 100) {
			t.Error("in memory: the wrong results")
		}
		time.Sleep(2 * commitEvery)
		c.Put(key(1), value(9, 100)) // newer
		if !has2(c, key(1), value(9, 100)) {
			t.Error("the older result is given")
		}
		ended()
		c, ended = start(t, config(path))
		if !has2(c, key(1), value(9, 100)) || has(c, 2, 100) {
			t.Error("after a restart: the wrong results")
		}
		time.Sleep(2 * time.Hour)
		if _, ok := c.Get(key(1)); ok {
			t.Error("a result that is too old is given")
		}
		if c.disk.bytes != 0 || len(c.disk.index) != 0 {
			t.Errorf("%d bytes of old results are on the disk", c.disk.bytes)
		}
		ended()
	})
}

func has2(c *Cache, k Key, want []byte) bool {
	got, ok := c.Get(k)
	return ok && bytes.Equal(got, want)
}

// TestPowerCut: the file of a moment, as the disk has it, is whole; what is lost is less
// than the last seconds.
func TestPowerCut(t *testing.T) {
	story(t, func(t *testing.T, path string) {
		c, ended := start(t, config(path))
		for i := range 20 {
			c.Put(key(i), value(i, 1000))
			c.Get(key(i))
		}
		time.Sleep(commitEvery + time.Second)
		c.Put(key(99), value(99, 1000))
		c.Get(key(99))
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ended()
		cut := filepath.Join(t.TempDir(), "cut.db")
		if err := os.WriteFile(cut, after, 0o600); err != nil {
			t.Fatal(err)
		}
		c, ended = start(t, config(cut))
		for i := range 20 {
			if !has(c, i, 1000) {
				t.Errorf("result %d is lost", i)
			}
		}
		if has(c, 99, 1000) {
			t.Error("a result is there that was never on the disk")
		}
		ended()
	})
}

// TestDamage: a file that is not as it was written is put aside, and the cache goes on.
func TestDamage(t *testing.T) {
	for name, spoil := range map[string]func([]byte) []byte{
		"cut off":  func(b []byte) []byte { return b[:len(b)/3] },
		"flipped":  func(b []byte) []byte { i := bytes.Index(b, value(7, 1000)); b[i+500] ^= 1; return b },
		"nonsense": func(b []byte) []byte { rand.Read(b); return b },
		"empty":    func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, path string) {
				c, ended := start(t, config(path))
				c.Put(key(7), value(7, 1000))
				c.Get(key(7))
				ended()
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, spoil(b), 0o600); err != nil {
					t.Fatal(err)
				}
				c, ended = start(t, config(path))
				if _, ok := c.Get(key(7)); ok {
					t.Error("a damaged result is given")
				}
				c.Put(key(8), value(8, 1000))
				c.Get(key(8))
				ended()
				if _, err := os.Stat(path + ".corrupt"); err != nil {
					t.Errorf("the damaged file is not aside: %v", err)
				}
				c, ended = start(t, config(path))
				if !has(c, 8, 1000) {
					t.Error("the new file keeps nothing")
				}
				ended()
			})
		})
	}
}

// TestBounds: memory, disk and what is written in a day.
func TestBounds(t *testing.T) {
	story(t, func(t *testing.T, path string) {
		cfg := config(path)
		cfg.Memory, cfg.Disk, cfg.Daily = 64<<10, 256<<10, 1<<20
		c, ended := start(t, cfg)
		c.Put(key(-1), value(1, 60<<10)) // larger than a quarter of the memory
		if _, ok := c.Get(key(-1)); ok {
			t.Error("one result fills the memory")
		}
		for i := range 300 {
			c.Put(key(i), value(i, 4000))
			if !has(c, i, 4000) {
				t.Fatalf("result %d is not there at once", i)
			}
			time.Sleep(time.Second)
			c.mu.Lock()
			held, disk, spent := c.held, c.disk.bytes, c.spent
			c.mu.Unlock()
			if held > cfg.Memory || disk > cfg.Disk+int64(commitEvery/time.Second)*16<<10 || spent > cfg.Daily {
				t.Fatalf("after %d: %d bytes in memory, %d on disk, %d written", i, held, disk, spent)
			}
		}
		spent := c.spent
		if spent < cfg.Daily/2 {
			t.Errorf("only %d bytes were written", spent)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() > 2*cfg.Disk {
			t.Errorf("the file has %d bytes, %v", info.Size(), err)
		}
		time.Sleep(25 * time.Hour) // another day
		c.Put(key(1000), value(1, 4000))
		c.Get(key(1000))
		if c.spent >= spent || c.spent == 0 {
			t.Errorf("on the next day %d bytes count as written", c.spent)
		}
		ended()
	})
}

// TestWithoutADisk: a disk that takes nothing leaves a cache in memory.
func TestWithoutADisk(t *testing.T) {
	story(t, func(t *testing.T, _ string) {
		for _, path := range []string{"", "/proc/nowhere/results.db"} {
			c, ended := start(t, config(path))
			c.Put(key(1), value(1, 10))
			if !has(c, 1, 10) {
				t.Errorf("%q: nothing is kept", path)
			}
			ended()
		}
	})
}

// TestClock: results of a time that is still to come, before the clock was set, do not
// stay for ever.
func TestClock(t *testing.T) {
	c := &Cache{cfg: Config{Age: time.Hour}}
	for after, want := range map[time.Duration]bool{0: false, -59 * time.Minute: false, -61 * time.Minute: true, time.Second: false, time.Hour: true} {
		if got := c.old(time.Now().Add(after)); got != want {
			t.Errorf("%v: old %t", after, got)
		}
	}
}

func BenchmarkGetFromDisk(b *testing.B) {
	cfg := config(filepath.Join(b.TempDir(), "results.db"))
	cfg.Memory = 16 << 10
	c, err := New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if c.disk = c.open(); c.disk == nil {
		b.Fatal("no disk")
	}
	pending := map[Key]result{}
	for i := range 200 {
		pending[key(i)] = result{key: key(i), at: time.Now(), value: value(i, 2000)}
	}
	if err := c.disk.write(pending, nil); err != nil {
		b.Fatal(err)
	}
	c.disk.note(pending, nil)
	for i := 0; b.Loop(); i++ {
		if _, ok := c.Get(key(i % 200)); !ok {
			b.Fatal("it is gone")
		}
	}
}
