package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/agent/battery/gauge"
	"primespark/agent/battery/i2cdev"
	"primespark/agent/config"
)

// fakeBoard gives a configuration a UPS board that is a file of registers.
func fakeBoard(t *testing.T, source, registers string) (cfg config.Config, reg func(addr uint16, reg byte) byte) {
	t.Helper()
	cfg = config.Default()
	cfg.StateDir, cfg.Battery.Source = t.TempDir(), source
	cfg.I2C.Bus = filepath.Join(t.TempDir(), "bus")
	if err := os.WriteFile(cfg.I2C.Bus, []byte(registers), 0o600); err != nil {
		t.Fatal(err)
	}
	return cfg, func(addr uint16, r byte) byte {
		bus := i2cdev.New(cfg.I2C.Bus)
		defer bus.Close()
		var got [1]byte
		if err := bus.Tx(addr, []byte{r}, got[:]); err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
}

// TestCountdown: a board that counts down is told before the halt, for longer than the host
// takes to go down, and before a boot anew that is taken back.
func TestCountdown(t *testing.T) {
	cfg, reg := fakeBoard(t, "upsgen6", "chip 0x17 bytes\n0x00 = 0xa6\n")
	cut := cutter(cfg)
	if err := cut(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if s := reg(0x17, 0x23); s != 120 {
		t.Errorf("the countdown is %d s, want 120: a minute to go down and one more", s)
	}
	if err := cut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if s := reg(0x17, 0x23); s != 0 {
		t.Errorf("the countdown is %d s after it was taken back", s)
	}
	if done, err := PowerCut(t.Context(), cfg); done || err != nil {
		t.Errorf("at the end of the shutdown: %v, %v", done, err)
	}
}

// TestStartsAt: a board with an auto-start voltage is told to wait for the charge that the
// configuration asks for, before its countdown begins.
func TestStartsAt(t *testing.T) {
	cfg, reg := fakeBoard(t, "upsgen6", "chip 0x17 bytes\n0x00 = 0xa6\n")
	cfg.Power.MinToStart = 0.3
	if err := cutter(cfg)(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if mV := int(reg(0x17, 0x25)) | int(reg(0x17, 0x26))<<8; mV != 2*3770 || reg(0x17, 0x23) != 120 {
		t.Errorf("it starts at %d mV, and counts %d s; want the 7540 of two cells that are 30 %% full, and 120 s", mV, reg(0x17, 0x23))
	}
	if m, ok := gauge.Find("upsplus"); !ok || m.StartsAt(0.3, 0) != nil {
		t.Errorf("a board without such a register: %x", m.StartsAt(0.3, 0))
	}
}

// TestCutAtTheEnd: a board that cuts soon is told by the hook, in the same boot only, and
// not when that was taken back.
func TestCutAtTheEnd(t *testing.T) {
	cfg, reg := fakeBoard(t, "waveshare-e", "chip 0x2d bytes\n0x00 = 0x0a\n")
	cut := cutter(cfg)
	if done, err := PowerCut(t.Context(), cfg); done || err != nil {
		t.Errorf("without a word of the agent: %v, %v", done, err)
	}
	if err := cut(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if v := reg(0x2d, 0x01); v != 0 {
		t.Errorf("written before the halt: %#x", v)
	}
	if err := cut(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if done, err := PowerCut(t.Context(), cfg); done || err != nil {
		t.Errorf("after it was taken back: %v, %v", done, err)
	}
	if err := cut(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cfg.StateDir, cutFile)
	word, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(word), bootID(), "another-boot", 1)
	if err := os.WriteFile(path, []byte(other), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := PowerCut(t.Context(), cfg); done || err != nil || reg(0x2d, 0x01) != 0 {
		t.Errorf("by the word of another boot: %v, %v", done, err)
	}
	if err := os.WriteFile(path, word, 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := PowerCut(t.Context(), cfg); !done || err != nil || reg(0x2d, 0x01) != 0x55 {
		t.Errorf("at the end of the shutdown: %v, %v, register %#x", done, err, reg(0x2d, 0x01))
	}
}

func TestWhoCutsNothing(t *testing.T) {
	cfg := config.Default()
	for _, source := range []string{"none", "sim", "x120x", "nut", "spc"} {
		cfg.Battery.Source = source
		if cutter(cfg) != nil {
			t.Errorf("%s cuts the power", source)
		}
	}
	cfg.Battery.Source, cfg.Power.PowerCut = "waveshare-e", config.Off
	if cutter(cfg) != nil {
		t.Error("power_cut: off cuts the power")
	}
}

func FuzzReadCut(f *testing.F) {
	f.Add([]byte(`{"boot":"a","bus":"/dev/i2c-1","address":45,"writes":["AVU="]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := readCut(data); err == nil && len(c.Writes) > 8 {
			t.Errorf("%d writes", len(c.Writes))
		}
	})
}
