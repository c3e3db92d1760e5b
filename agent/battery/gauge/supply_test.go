package gauge_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/agent/battery"
	"primespark/agent/battery/gauge"
)

// tree writes files below sys/class/power_supply of a root.
func tree(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, "sys/class/power_supply", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestSupply(t *testing.T) {
	// As x120x-dkms shows it, beside a mouse and a charger.
	pi := map[string]string{
		"x120x-battery/type": "Battery", "x120x-battery/status": "Discharging", "x120x-battery/capacity": "42",
		"x120x-battery/voltage_now": "3702500", "x120x-battery/current_now": "1500000", "x120x-battery/temp": "298", "x120x-battery/time_to_empty_avg": "3600",
		"ac/type": "Mains", "ac/online": "0",
		"hid-mouse/type": "Battery", "hid-mouse/scope": "Device", "hid-mouse/status": "Discharging", "hid-mouse/capacity": "1",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		maps.Copy(all, pi)
		for name, text := range more {
			if text == "" {
				delete(all, name)
			} else {
				all[name] = text
			}
		}
		return all
	}
	off, on := battery.Known(false), battery.Known(true)
	discharging := battery.Reading{
		Mains: off, Charge: charge(0.42), Volts: 3.7025, Amps: battery.Known(-1.5), Load: 5.554,
		Celsius: battery.Known(29.8), Minutes: battery.Known(60.0),
	}
	for name, c := range map[string]struct {
		files map[string]string
		cfg   gauge.Config
		want  battery.Reading
		says  string // of the error
	}{
		"on battery": {pi, gauge.Config{}, discharging, ""},
		"by name":    {pi, gauge.Config{Supply: "x120x-battery"}, discharging, ""},
		"charging": {
			with(map[string]string{"x120x-battery/status": "Charging", "ac/online": "1", "x120x-battery/current_now": "-900000"}),
			gauge.Config{},
			battery.Reading{Mains: on, Charge: charge(0.42), Volts: 3.7025, Amps: battery.Known(0.9), Celsius: battery.Known(29.8)},
			"",
		},
		"two cells, its own word on the mains": {
			map[string]string{"BAT0/type": "Battery", "BAT0/status": "Full", "BAT0/voltage_now": "8300000"},
			gauge.Config{Cells: 2},
			battery.Reading{Mains: on, Volts: 4.15},
			"",
		},
		"unknown status":        {map[string]string{"BAT0/type": "Battery", "BAT0/status": "Unknown", "BAT0/capacity": "10"}, gauge.Config{}, battery.Reading{Charge: charge(0.1)}, ""},
		"none":                  {nil, gauge.Config{}, battery.Reading{}, "none on this host"},
		"a mouse is no battery": {map[string]string{"m/type": "Battery", "m/scope": "Device", "m/status": "Full"}, gauge.Config{}, battery.Reading{}, "none on this host"},
		"gone":                  {pi, gauge.Config{Supply: "BAT7"}, battery.Reading{}, "BAT7"},
		"no number":             {with(map[string]string{"x120x-battery/capacity": "full"}), gauge.Config{}, battery.Reading{}, `capacity is "full"`},
		"overfull":              {with(map[string]string{"x120x-battery/capacity": "256"}), gauge.Config{}, battery.Reading{}, "implausible"},
		"wrong cells":           {pi, gauge.Config{Cells: 2}, battery.Reading{}, "implausible"},
	} {
		c.cfg.Source, c.cfg.Root = "power_supply", tree(t, c.files)
		r, err := gauge.New(c.cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Read(t.Context())
		switch {
		case c.says == "" && (err != nil || !same(got, c.want)):
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, c.want)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %+v, %v; want a word on %q", name, got, err, c.says)
		case c.says == "none on this host" && !errors.Is(err, gauge.ErrNone):
			t.Errorf("%s: %v is no ErrNone", name, err)
		}
	}
}
