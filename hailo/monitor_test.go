package hailo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// monitored is a message as the library writes it, of devices that are so busy.
func monitored(pid int, percents ...float64) []byte {
	b := protowire.AppendTag(nil, monitorPID, protowire.BytesType)
	b = protowire.AppendString(b, strconv.Itoa(pid))
	network := protowire.AppendTag(nil, 1, protowire.BytesType)
	network = protowire.AppendString(network, "yolov8s")
	network = protowire.AppendTag(network, 3, protowire.Fixed64Type)
	network = protowire.AppendFixed64(network, math.Float64bits(99))
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, network)
	for _, percent := range percents {
		device := protowire.AppendTag(nil, 1, protowire.BytesType)
		device = protowire.AppendString(device, "0000:01:00.0")
		if percent != 0 { // zeros are left out
			device = protowire.AppendTag(device, deviceUtilization, protowire.Fixed64Type)
			device = protowire.AppendFixed64(device, math.Float64bits(percent))
		}
		b = protowire.AppendTag(b, monitorDevice, protowire.BytesType)
		b = protowire.AppendBytes(b, device)
	}
	return b
}

func TestDecodeMonitor(t *testing.T) {
	// Written out by hand from scheduler_mon.proto: pid "123", a device "d", 62.5, "HAILO8".
	byHand, err := hex.DecodeString("0a03313233" + "2214" + "0a0164" + "110000000000404f40" + "1a064841494c4f38")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		message []byte
		want    float64 // -1: an error
	}{
		"by hand":         {byHand, .625},
		"idle":            {monitored(123, 0), 0},
		"busiest of two":  {monitored(123, 10, 50), .5},
		"a little more":   {monitored(123, 100.4), 1},
		"another process": {monitored(12, 50), -1},
		"no device":       {monitored(123), -1},
		"no number":       {monitored(123, math.NaN()), -1},
		"infinite":        {monitored(123, math.Inf(1)), -1},
		"negative":        {monitored(123, -1), -1},
		"cut short":       {byHand[:len(byHand)-1], -1},
		"cut in a device": {append(monitored(123, 5), 0x22, 2, 0x11, 0), -1},
		"empty":           {nil, -1},
	} {
		got, err := decodeMonitor(c.message, 123)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%s: %v and %v, want %v", name, got, err, c.want)
		}
	}
}

func FuzzDecodeMonitor(f *testing.F) {
	f.Add(monitored(123, 62.5))
	f.Add(monitored(123, 0, math.NaN()))
	f.Add([]byte{0x22, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, message []byte) {
		if busy, err := decodeMonitor(message, 123); err == nil && !(busy >= 0 && busy <= 1) {
			t.Errorf("it is %v", busy)
		}
	})
}

// TestUtilization reads only what the worker's library may have written lately.
func TestUtilization(t *testing.T) {
	good := monitored(123, 62.5)
	put := func(t *testing.T, path string, data []byte) {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, dir string) error
		want bool
	}{
		"fresh": {func(t *testing.T, dir string) error { put(t, dir+"/123aB3dEf", good); return nil }, true},
		"beside a broken one": {func(t *testing.T, dir string) error {
			put(t, dir+"/123aaaaaa", nil)
			put(t, dir+"/123aB3dEf", good)
			return nil
		}, true},
		"none":                  {func(*testing.T, string) error { return nil }, false},
		"of a longer number":    {func(t *testing.T, dir string) error { put(t, dir+"/1234aB3dEf", good); return nil }, false},
		"not whole yet":         {func(t *testing.T, dir string) error { put(t, dir+"/123aB3dEf.tmp", good); return nil }, false},
		"names another process": {func(t *testing.T, dir string) error { put(t, dir+"/123aB3dEf", monitored(9, 5)); return nil }, false},
		"too long": {func(t *testing.T, dir string) error {
			put(t, dir+"/123aB3dEf", append(good, append([]byte{0x2a, 0x80, 0x80, 4}, bytes.Repeat([]byte{0}, maxMonitor)...)...))
			return nil
		}, false},
		"old": {func(t *testing.T, dir string) error {
			put(t, dir+"/123aB3dEf", good)
			then := time.Now().Add(-2 * monitorStale)
			return os.Chtimes(dir+"/123aB3dEf", then, then)
		}, false},
		"a link": {func(t *testing.T, dir string) error {
			put(t, dir+"/elsewhere", good)
			return os.Symlink("elsewhere", dir+"/123aB3dEf")
		}, false},
		"a pipe":      {func(_ *testing.T, dir string) error { return syscall.Mkfifo(dir+"/123aB3dEf", 0o600) }, false},
		"a directory": {func(_ *testing.T, dir string) error { return os.Mkdir(dir+"/123aB3dEf", 0o700) }, false},
		"of another user": {func(t *testing.T, dir string) error {
			if os.Geteuid() != 0 {
				if os.Getenv("CI") == "true" {
					t.Fatal("continuous integration is to run this as root")
				}
				t.Skip("only root can give a file away")
			}
			put(t, dir+"/123aB3dEf", good)
			return os.Chown(dir+"/123aB3dEf", 65534, 65534)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := Host{Root: t.TempDir()}
			if err := h.monitor(); err != nil {
				t.Fatal(err)
			}
			if err := c.make(t, h.path(monitorDir)); err != nil {
				t.Fatal(err)
			}
			if got := h.utilization(123); (got != nil) != c.want || got != nil && *got != .625 {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestUnitUtilization reads what a worker in its unit wrote, who is another user.
func TestUnitUtilization(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("continuous integration is to run this as root")
		}
		t.Skip("only root can give files away")
	}
	for owner, want := range map[int]bool{65534: true, 0: false} {
		h := Host{Root: t.TempDir()}
		path := h.path(unitDir) + "/123aB3dEf"
		err := errors.Join(os.MkdirAll(h.path(unitDir), 0o755), os.Chown(h.path(unitDir), 65534, 65534),
			os.WriteFile(path, monitored(123, 62.5), 0o600), os.Chown(path, owner, owner))
		if err != nil {
			t.Fatal(err)
		}
		if got := h.utilization(123); (got != nil) != want || got != nil && *got != .625 {
			t.Errorf("of user %d: %v", owner, got)
		}
	}
}

// TestMonitorDirectory refuses places where others could have the library write
// over our files.
func TestMonitorDirectory(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"a link":           func(path string) error { return os.Symlink(t.TempDir(), path) },
		"open to everyone": func(path string) error { return os.Chmod(path, 0o777) },
	} {
		for _, dir := range []string{monitorDir, numberDir} {
			h := Host{Root: t.TempDir()}
			make := os.MkdirAll
			if name == "a link" {
				make = func(string, os.FileMode) error { return os.MkdirAll(h.path("tmp"), 0o755) }
			}
			if err := make(h.path(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := spoil(h.path(dir)); err != nil {
				t.Fatal(err)
			}
			if err := h.monitor(); err == nil || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s at %s: %v", name, dir, err)
			}
		}
	}
}

// TestSweep removes what killed libraries left, and nothing else.
func TestSweep(t *testing.T) {
	h := Host{Root: t.TempDir()}
	if err := h.monitor(); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-2 * monitorDead)
	keep := map[string]bool{
		monitorDir + "/12aB3dEf": false, monitorDir + "/12aB3dEf.tmp": false, numberDir + "/nnc_utilizationaB3dEf": false,
		monitorDir + "/13aB3dEf": true, monitorDir + "/mine.txt": true,
	}
	for name := range keep {
		if err := os.WriteFile(h.path(name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name == monitorDir+"/13aB3dEf" {
			continue // alive
		}
		if err := os.Chtimes(h.path(name), then, then); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.monitor(); err != nil {
		t.Fatal(err)
	}
	for name, want := range keep {
		if _, err := os.Stat(filepath.Join(h.Root, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
