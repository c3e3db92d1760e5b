package outbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"primespark/agent/outbox"
	"primespark/shared/health"
)

// A disk is an ext4 file system of its own, in a file.
type disk struct{ image, at string }

// newDisk makes a disk of that size in bytes and mounts it until the test ends.
func newDisk(t *testing.T, size int64) disk {
	t.Helper()
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		need(t, "disks are made with a loop device", errors.New("needs root"))
	}
	dir := t.TempDir()
	d := disk{filepath.Join(dir, "disk"), filepath.Join(dir, "mount")}
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close(), os.Mkdir(d.at, 0o700))
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput()
	need(t, "mkfs.ext4 "+string(out), err)
	need(t, "mount", d.mount())
	t.Cleanup(func() {
		if err := d.unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return d
}

func (d disk) mount() error {
	out, err := exec.Command("mount", "-o", "loop", d.image, d.at).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func (d disk) unmount() error { return exec.Command("umount", d.at).Run() }

// need tells that the test cannot be run here, if there was an error.
func need(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s: %v", what, err)
	}
	t.Skipf("%s: %v", what, err)
}

// TestDiskFull has others fill the disk. Samples wait in memory and lose nothing;
// when that is full too the oldest go, and their place says so; and with room again
// everything comes to the disk, in order.
func TestDiskFull(t *testing.T) {
	d := newDisk(t, 8<<20)
	filler := filepath.Join(d.at, "somebody's film")
	bubble(t, func(t *testing.T) {
		l := open(t, d.at, func(c *outbox.Config) { c.Memory = 2000 })
		defer l.stop()
		l.keep(1, "cpu", 100)
		time.Sleep(2 * time.Second)
		if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		on := func() uint64 { n, _ := l.Last(); return n }
		full := on()
		for range 100 { // what is left in the file's own free pages is used up first
			l.keep(1, "cpu", 100)
			time.Sleep(time.Minute)
			if codes := l.conditions.All().Codes(); len(codes) == 1 && codes[0] == string(health.StorageFull) && l.memory() >= 100 {
				break
			}
		}
		kept := l.seq["cpu"]
		if on() == kept || l.Waiting() != int(kept) {
			t.Fatalf("of %d samples %d were on disk before it was full, %d are now, and %d wait", kept, full, on(), l.Waiting())
		}
		if remedy := l.conditions.All()[0].Remedy; !strings.Contains(remedy, "Delete what is not needed") {
			t.Errorf("remedy %q", remedy)
		}

		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		l.keep(1, "cpu", 1)
		time.Sleep(10 * time.Second) // it is normal again by then
		expect(t, "with room again", l.waiting(0), fmt.Sprintf("cpu 1 to cpu %d (%d)", kept+1, kept+1))
		if codes := l.conditions.All().Codes(); len(codes) != 0 {
			t.Errorf("conditions %v", codes)
		}

		if err := os.WriteFile(filler, make([]byte, 8<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		for range 6 { // more than memory takes
			l.keep(1, "cpu", 800)
			time.Sleep(40 * time.Second)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // it is normal again by then
		all, err := l.Read(0, 1_000_000)
		if err != nil {
			t.Fatal(err)
		}
		next, gaps := uint64(1), 0
		if lead := l.Lead(1, "cpu"); len(lead) > 0 {
			next, gaps = lead[len(lead)-1].Seq+1, len(lead)
		}
		for _, e := range all {
			from := e.Seq
			if e.Gap != nil {
				from = e.Gap.From
				gaps++
			}
			if from > next {
				t.Fatalf("after %d comes %d, and nothing tells of those in between", next-1, from)
			}
			next = e.Seq + 1
		}
		if next != l.seq["cpu"]+1 || gaps == 0 {
			t.Errorf("the last is %d with %d gaps, want %d with one or more", next-1, gaps, l.seq["cpu"])
		}
	})
}

// memory is how many samples wait in memory.
func (l *lab) memory() int {
	l.t.Helper()
	all, err := l.Read(0, 1_000_000)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.Waiting() - len(all)
}
