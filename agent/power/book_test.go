package power_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"primespark/agent/power"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestBookIsKept(t *testing.T) {
	dir := t.TempDir()
	b, err := power.OpenBook(dir, "x")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := b.Add(power.Entry{At: noon.Add(time.Duration(i) * time.Second), Page: power.Moved, Mode: power.Mains, Why: fmt.Sprint(i)}, i == 99); err != nil {
			t.Fatal(err)
		}
	}
	again, err := power.OpenBook(dir, "y")
	if err != nil {
		t.Fatal(err)
	}
	if all := again.Entries(); !reflect.DeepEqual(all, b.Entries()) || len(all) != 64 || all[63].Why != "99" || all[63].Boot != "x" {
		t.Errorf("%d entries, the last %+v", len(all), all[len(all)-1])
	}
	path := filepath.Join(dir, "power.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := power.OpenBook(dir, "z"); err == nil || b == nil || len(b.Entries()) != 0 || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged book: %v", err)
	} else if err := b.Add(power.Entry{At: noon, Page: power.Booted}, true); err != nil {
		t.Errorf("and cannot be written to: %v", err)
	}
}

func TestLooping(t *testing.T) {
	halt := func(ago time.Duration, by string, dry bool) power.Entry {
		return power.Entry{At: noon.Add(-ago), Page: power.Halted, Mode: power.ShuttingDown, By: by, Dry: dry}
	}
	for name, test := range map[string]struct {
		all  []power.Entry
		want bool
	}{
		"never":               {nil, false},
		"twice":               {[]power.Entry{halt(time.Hour, power.ByBattery, false), halt(time.Minute, power.ByBattery, false)}, false},
		"three times":         {[]power.Entry{halt(119*time.Minute, power.ByBattery, false), halt(time.Hour, power.ByBattery, false), halt(time.Minute, power.ByBattery, false)}, true},
		"once long ago":       {[]power.Entry{halt(121*time.Minute, power.ByBattery, false), halt(time.Hour, power.ByBattery, false), halt(time.Minute, power.ByBattery, false)}, false},
		"by an operator":      {[]power.Entry{halt(3, power.ByOperator, false), halt(2, power.ByBattery, false), halt(1, power.ByBattery, false)}, false},
		"dry":                 {[]power.Entry{halt(3, power.ByBattery, true), halt(2, power.ByBattery, true), halt(1, power.ByBattery, true)}, false},
		"with a clock behind": {[]power.Entry{halt(-time.Hour, power.ByBattery, false), halt(-2*time.Hour, power.ByBattery, false), halt(-3*time.Hour, power.ByBattery, false)}, true},
	} {
		b, err := power.OpenBook(t.TempDir(), "x")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range test.all {
			if err := b.Add(e, true); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.Looping(noon); got != test.want {
			t.Errorf("%s: looping %v", name, got)
		}
	}
}

func TestExplain(t *testing.T) {
	at := func(minutes int, boot string, page power.Page, mode power.Mode, why string) power.Entry {
		return power.Entry{At: noon.Add(time.Duration(minutes) * time.Minute), Boot: boot, Page: page, Mode: mode, Why: why, By: power.ByBattery}
	}
	told := power.Explain([]power.Entry{
		at(0, "a", power.Booted, power.Starting, "The agent started."),
		at(1, "a", power.Moved, power.Mains, "On mains."),
		at(2, "a", power.Booted, power.Starting, "The agent started."), // again, without a boot
		at(10, "b", power.Booted, power.Starting, "The agent started."),
		at(20, "b", power.Moved, power.OnBattery, "The mains are lost."),
		at(60, "c", power.Booted, power.Starting, "The agent started."),
		at(70, "c", power.Moved, power.Critical, "Empty."),
		at(71, "c", power.Halted, power.ShuttingDown, "Empty. The countdown is over."),
		at(72, "c", power.Restarted, power.ShuttingDown, "The mains came back."),
		at(80, "d", power.Booted, power.Starting, "The agent started."),
	})
	if len(told) != 3 {
		t.Fatalf("%d explanations: %+v", len(told), told)
	}
	for i, want := range []struct {
		known bool
		why   string
		down  int
		up    int
	}{
		{true, "The countdown is over. The mains came back. It was told to boot anew.", 71, 80},
		{false, "the power may have been cut", 20, 60},
		{false, "somebody shut it down or booted it", 2, 10},
	} {
		x := told[i]
		if x.Known != want.known || !strings.Contains(x.Why, want.why) || !x.Down.Equal(noon.Add(time.Duration(want.down)*time.Minute)) || !x.Up.Equal(noon.Add(time.Duration(want.up)*time.Minute)) {
			t.Errorf("%d: %+v", i, x)
		}
	}
	if x, ok := power.Around(told, noon.Add(30*time.Minute)); !ok || x.Down != told[1].Down {
		t.Errorf("around half past twelve: %+v", x)
	}
	if _, ok := power.Around(nil, noon); ok {
		t.Error("something of nothing")
	}
}

func FuzzBook(f *testing.F) {
	f.Add([]byte(`{"crc":2049450086,"entries":[]}`))
	f.Add([]byte(`{"crc":0,"entries":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "power.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := power.OpenBook(dir, "x")
		if b == nil || err != nil && len(b.Entries()) > 0 {
			t.Fatalf("%v, %v", b, err)
		}
		_ = b.Looping(noon)
		_ = power.Explain(b.Entries())
	})
}

func TestProcessor(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	p := power.Processor{Root: root, Dir: dir, MHz: 1500}
	if err := p.Cap(true); err != nil {
		t.Errorf("a host that does not scale: %v", err)
	}
	policy := filepath.Join(root, "sys/devices/system/cpu/cpufreq/policy0")
	if err := os.MkdirAll(policy, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(policy, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(khz string) {
		t.Helper()
		if got, err := os.ReadFile(filepath.Join(policy, "scaling_max_freq")); err != nil || strings.TrimSpace(string(got)) != khz {
			t.Errorf("%s kHz, %v, want %s", got, err, khz)
		}
	}
	write("scaling_max_freq", "2200000\n")
	write("cpuinfo_min_freq", "1600000\n")
	for range 2 { // the second time by an agent that was started anew
		if err := (power.Processor{Root: root, Dir: dir, MHz: 1500}).Cap(true); err != nil {
			t.Fatal(err)
		}
		want("1600000") // no less than the processor can
	}
	for range 2 {
		if err := p.Cap(false); err != nil {
			t.Fatal(err)
		}
		want("2200000") // what the host's owner had set
	}
}
