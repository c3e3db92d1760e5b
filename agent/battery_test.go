package agent

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"primespark/agent/battery/gauge"
	"primespark/agent/config"
	"primespark/agent/record"
	"primespark/agent/sensors"
	"primespark/shared/firmware"
	"primespark/shared/fleet"
)

// TestEverySourceHasADriver holds the names of the configuration to those of the drivers.
func TestEverySourceHasADriver(t *testing.T) {
	names := []string{"none"}
	for _, m := range gauge.Models() {
		names = append(names, m.Source)
	}
	names = append(names, "sim")
	if got := config.Sources(); !slices.Equal(got, names) {
		t.Errorf("the configuration takes %q, and there are drivers of %q", got, names)
	}
}

// TestABoardMadeOfFiles runs the battery of a node on a file of registers and one in
// place of the power-loss line.
func TestABoardMadeOfFiles(t *testing.T) {
	dir := t.TempDir()
	registers, line := filepath.Join(dir, "registers"), filepath.Join(dir, "mains")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(registers, "chip 0x36 words\n0x02 = 0xc300\n0x04 = 0x5780\n0x08 = 0x0012\n")
	write(line, "1\n")
	cfg, err := config.Parse(fmt.Appendf(nil, "name: pi-1\ni2c: {bus: %s}\nbattery: {source: x120x, line: {chip: %s}}\n", registers, line))
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		host := func() sensors.Figures { return sensors.Figures{Supply: firmware.Supply{Volts: 4.9, Watts: 6}} }
		m, release, err := newBattery(cfg, host, record.New(time.Now(), nil), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- m.Run(ctx) }()
		settle := func() {
			time.Sleep(2 * time.Second)
			synctest.Wait()
		}
		settle()
		if p := m.Power().Get(); p.Source != fleet.Mains || p.Charge == nil || *p.Charge != 0.875 {
			t.Errorf("power %+v, want mains at 87.5 %%", p)
		}
		write(line, "0\n")
		settle()
		if p := m.Power().Get(); p.Source != fleet.Battery {
			t.Errorf("power %+v, want the battery", p)
		}
		if s := m.Samples().Get(); s.Supply.Watts != 6 || s.Gauge.Volts != 3.9 {
			t.Errorf("sample %+v", s)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestNoHostIsSwitchedOffForAFile tells real batteries from those that are played.
func TestNoHostIsSwitchedOffForAFile(t *testing.T) {
	for text, want := range map[string]bool{
		"battery: {source: x120x}":                          false,
		"i2c: {bus: /tmp/r}\nbattery: {source: x120x}":      true,
		"i2c: {bus: /tmp/r}\nbattery: {source: nut}":        false, // which needs no bus
		"battery: {source: sim, script: [{t: 0s, soc: 1}]}": true,
	} {
		cfg, err := config.Parse([]byte("name: pi-1\n" + text))
		if err != nil {
			t.Fatal(err)
		}
		if _, real := machine(cfg, func() {}, Outside{}).(pretended); real != want || pretends(cfg) != want {
			t.Errorf("%s: played %v, want %v", text, real, want)
		}
	}
}

func TestLineOf(t *testing.T) {
	for text, want := range map[string]string{
		"{source: x120x}": "line 6 of pinctrl-rp1, low false",
		"{source: x728}":  "line 6 of pinctrl-rp1, low true",
		"{source: x728, line: {mains: high, offset: 4}}": "line 4 of pinctrl-rp1, low false",
		"{source: max1704x, line: {mains: low}}":         "line 6 of pinctrl-rp1, low true",
		"{source: max1704x}":                             "none",
		"{source: x120x, line: {mains: none}}":           "none",
	} {
		cfg, err := config.Parse([]byte("name: pi-1\nbattery: " + text))
		if err != nil {
			t.Fatal(err)
		}
		got := "none"
		if l := lineOf(cfg.Battery); l != nil {
			got = fmt.Sprintf("%v, low %v", l, l.Low)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
