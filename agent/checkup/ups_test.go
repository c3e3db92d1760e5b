package checkup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"primespark/agent/checkup"
	"primespark/shared/doctor"
)

func TestUPS(t *testing.T) {
	const pi = "Raspberry Pi 5 Model B Rev 1.0\x00"
	for name, test := range map[string]struct {
		ups   checkup.UPS
		files map[string]string
		want  map[string]string // by check, what its result contains
	}{
		"none": {checkup.UPS{Source: "none"}, nil, map[string]string{}},
		"well": {
			checkup.UPS{Source: "x120x", Line: 6, Running: "The agent acts by the battery, now mains at 90 %"},
			map[string]string{
				"proc/device-tree/model": pi, "sys/bus/nvmem/devices/blconfig0/nvmem": "[all]\nBOOT_UART=1\nPOWER_OFF_ON_HALT=1\nWAKE_ON_GPIO=0\nPSU_MAX_CURRENT=5000\n\x00\x00",
				"boot/firmware/config.txt": "# comment\ndtparam=i2c_arm=on\ngpio=6=pu # the line\n",
			},
			map[string]string{"rules": "ok now mains", "bootloader": "ok next to nothing", "config.txt": "ok suits"},
		},
		"nothing set": {
			checkup.UPS{Source: "x728", Line: 6, DryRun: true},
			map[string]string{"proc/device-tree/model": pi, "sys/bus/nvmem/devices/blconfig0/nvmem": "POWER_OFF_ON_HALT=0\n", "boot/firmware/config.txt": "#dtparam=i2c_arm=on\n"},
			map[string]string{
				"rules": "warning dry_run", "bootloader": "warning POWER_OFF_ON_HALT=1, WAKE_ON_GPIO=0, PSU_MAX_CURRENT=5000", "config.txt": "warning dtparam=i2c_arm=on and gpio=6=pu and dtoverlay=gpio-poweroff",
			},
		},
		"not readable":     {checkup.UPS{Source: "x120x", Line: -1}, map[string]string{"proc/device-tree/model": pi}, map[string]string{"rules": "info No agent", "bootloader": "info not known"}},
		"no Raspberry Pi":  {checkup.UPS{Source: "nut", Line: -1}, nil, map[string]string{"rules": "info No agent"}},
		"a NUT needs none": {checkup.UPS{Source: "nut", Line: -1}, map[string]string{"boot/config.txt": ""}, map[string]string{"rules": "info No agent", "config.txt": "ok suits"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range test.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			test.ups.Root = root
			got := map[string]string{}
			for _, r := range doctor.Run(t.Context(), "pi", test.ups.Checks()).Results {
				got[r.Check] = string(r.Severity) + " " + r.Detail
				if r.Severity.Worse(doctor.OK) && r.Remedy == "" {
					t.Errorf("%s has no remedy", r.Check)
				}
			}
			if len(got) != len(test.want) {
				t.Errorf("got %v", got)
			}
			for check, want := range test.want {
				severity, words, _ := strings.Cut(want, " ")
				if !strings.HasPrefix(got[check], severity+" ") || !strings.Contains(got[check], words) {
					t.Errorf("%s: %q, want %q", check, got[check], want)
				}
			}
		})
	}
}
