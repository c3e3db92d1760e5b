package checkup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"primespark/shared/doctor"
)

// A UPS is the board under a node, and what the node's firmware has to be told for it
// (notes of the boards' makers; Raspberry Pi documentation, bootloader configuration).
type UPS struct {
	doctor.Host
	Source string // of the battery; none: there is nothing to say
	Line   int    // GPIO of the power-loss line that wants a pull-up; below 0: none
	DryRun bool   // of the power's rules
	// Running is what the agent that runs says of its power; empty if none runs.
	Running string
}

// Checks are those of the board's surroundings.
func (u UPS) Checks() []doctor.Check {
	if u.Source == "none" {
		return nil
	}
	return []doctor.Check{
		{Section: "power", Name: "rules", Look: u.rules},
		{Section: "power", Name: "bootloader", Look: u.bootloader},
		{Section: "power", Name: "config.txt", Look: u.configTxt},
	}
}

func (u UPS) rules(context.Context) []doctor.Result {
	switch {
	case u.DryRun:
		return doctor.One(doctor.Warning, "power.dry_run is set: nothing keeps the battery's cells from harm.", "Read in the log what it would have done, then set power.dry_run: false.")
	case u.Running != "":
		return doctor.One(doctor.OK, u.Running, "")
	}
	return doctor.One(doctor.Info, "No agent runs here, and nothing else keeps the battery's cells from harm.", "sudo systemctl start prime-spark-agent")
}

// bootloader looks for what keeps a halted Raspberry Pi from draining the battery, and
// lets it start when the mains return.
func (u UPS) bootloader(context.Context) []doctor.Result {
	if !strings.Contains(u.Host.Line("proc/device-tree/model"), "Raspberry Pi 5") {
		return nil
	}
	const how = "sudo rpi-eeprom-config --edit"
	if paths := u.Glob("sys/bus/nvmem/devices/blconfig*/nvmem"); len(paths) > 0 {
		data, err := os.ReadFile(filepath.Join("/", u.Root, paths[0]))
		if err != nil {
			return doctor.One(doctor.Info, "Whether the bootloader suits a UPS board is not known: its settings cannot be read.", "Run this with sudo, or look with sudo rpi-eeprom-config.")
		}
		have := settingsOf(string(data))
		var wrong []string
		for _, want := range [][2]string{{"POWER_OFF_ON_HALT", "1"}, {"WAKE_ON_GPIO", "0"}, {"PSU_MAX_CURRENT", "5000"}} {
			if have[want[0]] != want[1] {
				wrong = append(wrong, want[0]+"="+want[1])
			}
		}
		if len(wrong) > 0 {
			return doctor.One(doctor.Warning, "The bootloader does not have "+strings.Join(wrong, ", ")+": halted, the Pi draws 1.2 to 1.8 W until the battery is empty, and it may stay off when the mains return.",
				how+", and set there "+strings.Join(wrong, ", ")+".")
		}
		return doctor.One(doctor.OK, "A halted Pi draws next to nothing, and starts when the mains return", "")
	}
	return doctor.One(doctor.Info, "Whether the bootloader suits a UPS board is not known.", "sudo rpi-eeprom-config shows POWER_OFF_ON_HALT=1, WAKE_ON_GPIO=0 and PSU_MAX_CURRENT=5000 if it does.")
}

// settingsOf reads lines of KEY=value; the last one counts.
func settingsOf(text string) map[string]string {
	have := map[string]string{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if key, value, ok := strings.Cut(strings.Trim(line, " \t\r\n\x00"), "="); ok {
			have[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return have
}

func (u UPS) configTxt(context.Context) []doctor.Result {
	path := ""
	for _, p := range []string{"boot/firmware/config.txt", "boot/config.txt"} {
		if _, err := os.Stat(filepath.Join("/", u.Root, p)); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		return nil // no Raspberry Pi OS
	}
	data, err := os.ReadFile(filepath.Join("/", u.Root, path))
	if err != nil {
		return doctor.One(doctor.Info, "/"+path+" cannot be read.", "Run this with sudo.")
	}
	lines := map[string]bool{}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		lines[strings.ReplaceAll(strings.TrimSpace(line), " ", "")] = true
	}
	var missing []string
	if u.Source != "nut" && u.Source != "power_supply" && !lines["dtparam=i2c_arm=on"] && !lines["dtparam=i2c=on"] {
		missing = append(missing, "dtparam=i2c_arm=on")
	}
	if pull := fmt.Sprintf("gpio=%d=pu", u.Line); u.Line >= 0 && !lines[pull] {
		missing = append(missing, pull)
	}
	if u.Source == "x728" && !strings.Contains(string(data), "gpio-poweroff") {
		missing = append(missing, "dtoverlay=gpio-poweroff,gpiopin=26,active_delay_ms=4000 (gpiopin=13 before V2.1), which switches the board off")
	}
	if len(missing) > 0 {
		return doctor.One(doctor.Warning, "/"+path+" lacks "+strings.Join(missing, " and ")+".", "Add it as a line of its own, and reboot.")
	}
	return doctor.One(doctor.OK, "/"+path+" suits the board", "")
}
