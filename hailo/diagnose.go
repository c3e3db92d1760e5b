package hailo

import (
	"fmt"
	"slices"
	"strings"
)

// The remedies that several findings share.
const (
	remedyInstall = "sudo apt install hailo-all && sudo reboot"
	remedySupply  = "Use the 27 W USB-C supply (5 V, 5 A) and a short cable; then power the Pi off and on."
)

// Diagnose says what keeps the chip from working, the first cause first, and
// what keeps it from working well. Nothing to say means that all is in order as
// far as can be seen without loading anything.
func Diagnose(f Facts) []Finding {
	if f.Simulated {
		return nil // nothing of the host takes part
	}
	chip, there := f.Chip()
	if !there {
		return []Finding{absent(f)}
	}
	for _, cause := range []func(Facts, Chip) (Finding, bool){dead, otherChip, noDriver, noDevice, noAccess, noRuntime, versions} {
		if found, ok := cause(f, chip); ok {
			return append([]Finding{found}, Hints(f)...)
		}
	}
	return Hints(f)
}

func absent(f Facts) Finding {
	found := Finding{
		Code: Absent, Severity: Info, Detail: "No Hailo device is on the PCIe bus.",
		Remedy: "If there should be one, check the HAT, its ribbon cable and the 5 A supply; on an AI Kit put dtparam=pciex1 into /boot/firmware/config.txt and reboot.",
	}
	if _, installed := f.Library(); installed || len(f.Modules) > 0 {
		found.Severity = Warning // somebody meant to use one
	}
	return found
}

func dead(f Facts, c Chip) (Finding, bool) {
	if !c.Dead {
		return Finding{}, false
	}
	return lost(f, c, "The Hailo at "+c.Address+" has fallen off the PCIe bus: its registers read as all ones"), true
}

// lost is the finding of a chip that does not answer.
func lost(f Facts, c Chip, what string) Finding {
	detail, remedy := what+".", ""
	switch {
	case f.Undervoltage == nil:
	case *f.Undervoltage:
		detail, remedy = what+", and the supply voltage is too low.", remedySupply+" "
	default:
		detail = what + "; the supply voltage is fine now."
	}
	address := c.Address
	if address == "" {
		address = "ADDRESS"
	}
	return fault(DeviceLost, remedy+"echo 1 | sudo tee /sys/bus/pci/devices/"+address+"/remove && echo 1 | sudo tee /sys/bus/pci/rescan; if that does not bring it back, power the Pi off and on.", "%s", detail)
}

// otherChip finds a driver of the other family of chips.
func otherChip(f Facts, c Chip) (Finding, bool) {
	_, old := f.Module(moduleOf8)
	_, soc := f.Module(moduleOf10)
	switch {
	case c.SoC() && old && !soc:
		return fault(DriverMissing, "sudo apt install hailo-h10-all && sudo reboot", "The chip is a Hailo-10H or 15 (%s), and the driver that is loaded, %s, is that of Hailo-8.", c.ID, moduleOf8), true
	case !c.SoC() && soc && !old:
		return fault(DriverMissing, remedyInstall, "The chip is a Hailo-8 or 8L (%s), and the driver that is loaded, %s, is that of Hailo-10H.", c.ID, moduleOf10), true
	case c.SoC() && f.Packages["python3-h10-hailort"] == "":
		return fault(Unsupported, "sudo apt install hailo-h10-all python3-h10-hailort && sudo reboot", "The chip is a Hailo-10H or 15 (%s), which is served by the Python worker only, and its Python package is not installed.", c.ID), true
	}
	return Finding{}, false
}

func noDriver(f Facts, c Chip) (Finding, bool) {
	if len(f.Modules) > 0 || c.SoC() {
		return Finding{}, false
	}
	switch {
	case len(f.Files) > 0:
		return fault(DriverMissing, "sudo modprobe hailo_pci; if it stays so after a boot, look for a blacklist: grep -r hailo /etc/modprobe.d",
			"The Hailo driver is on disk for kernel %s, and not loaded.", f.Kernel), true
	case f.Packages["hailort-pcie-driver"] != "" || f.Packages["hailo-dkms"] != "":
		name := "hailort-pcie-driver"
		if f.Packages[name] == "" {
			name = "hailo-dkms"
		}
		remedy := "sudo apt install --reinstall " + name + " && sudo reboot"
		if f.Packages["dkms"] == "" {
			remedy = "sudo apt install dkms && " + remedy
		}
		return fault(DriverMissing, remedy, "The package %s is installed, and there is no driver for kernel %s: it was not built when the kernel was upgraded.", name, f.Kernel), true
	}
	return fault(DriverMissing, "sudo apt install dkms hailo-all && sudo reboot", "The Hailo driver is not installed for kernel %s.", f.Kernel), true
}

func noDevice(f Facts, c Chip) (Finding, bool) {
	switch {
	case f.Node.Path != "":
		return Finding{}, false
	case f.Firmware == "" && !c.SoC():
		name := "hailofw"
		if f.Packages["hailort-pcie-driver"] != "" {
			name = "hailort-pcie-driver"
		}
		return fault(ProbeFailed, "sudo apt install --reinstall "+name+" && sudo reboot", "The driver could not start the chip: its firmware, /lib/firmware/hailo/hailo8_fw.bin, is missing."), true
	case c.Driver == "":
		return fault(ProbeFailed, "sudo dmesg | grep -i hailo says why; \"Failed to enable MSI\" means a PCIe switch that shares too few interrupts: put the HAT on the Pi's own connector, or sudo rpi-eeprom-update -a && sudo reboot.",
			"The driver is loaded, and has not taken the chip at %s.", c.Address), true
	}
	return fault(ProbeFailed, "sudo dmesg | grep -i hailo says why; then power the Pi off and on.", "The driver has the chip at %s, and made no /dev/hailo0.", c.Address), true
}

func noAccess(f Facts, _ Chip) (Finding, bool) {
	switch n := f.Node; n.Access {
	case "ok":
		return Finding{}, false
	case "denied":
		return fault(Permission, `echo 'SUBSYSTEM=="hailo_chardev", MODE="0666"' | sudo tee /etc/udev/rules.d/60-hailo.rules && sudo udevadm control --reload && sudo udevadm trigger`,
			"This user may not open %s: its mode is %v.", n.Path, n.Mode.Perm()), true
	case "forbidden":
		return fault(Permission, "In the systemd unit: DeviceAllow=char-hailo rw; in a container: --device "+n.Path+".",
			"%s may not be opened from here, whatever its mode (%v) says: a device cgroup forbids it.", n.Path, n.Mode.Perm()), true
	default:
		return fault(Unknown, "sudo dmesg | grep -i hailo says more.", "%s cannot be opened: %s.", n.Path, n.Access), true
	}
}

func noRuntime(f Facts, c Chip) (Finding, bool) {
	if _, ok := f.Library(); ok {
		return Finding{}, false
	}
	if c.SoC() {
		return fault(RuntimeMissing, "sudo apt install hailo-h10-all && sudo reboot", "HailoRT is not installed."), true
	}
	return fault(RuntimeMissing, remedyInstall, "HailoRT is not installed: there is no libhailort."), true
}

// versions compares the driver with the library: they must be equal to the last
// digit, and nothing else goes wrong in the field as often.
func versions(f Facts, c Chip) (Finding, bool) {
	library, _ := f.Library()
	name := moduleOf8
	if c.SoC() {
		name = moduleOf10
	}
	driver, ok := f.Module(name)
	if !ok || driver.Version == (Version{}) || driver.Version == library.Version {
		return Finding{}, false
	}
	remedy := "sudo apt full-upgrade && sudo reboot" // the driver is the kernel's
	switch {
	case len(f.Files) > 1:
		remedy = setAside(f)
	case f.Packages["hailort-pcie-driver"] != "":
		remedy = "sudo apt install --reinstall hailort hailort-pcie-driver && sudo reboot"
	case f.Packages["hailo-dkms"] != "":
		remedy = "sudo apt install --reinstall hailort hailo-dkms && sudo reboot"
	}
	return fault(VersionMismatch, remedy, "The driver is %v and HailoRT is %v; they must be equal.", driver.Version, library.Version), true
}

// setAside is the command that leaves one driver of several: the packaged one.
func setAside(f Facts) string {
	keep := slices.IndexFunc(f.Files, func(m ModuleFile) bool { return m.Origin == "dkms" })
	keep = max(keep, 0)
	var moves []string
	for i, m := range f.Files {
		if i != keep {
			moves = append(moves, fmt.Sprintf("sudo mv %s %s.off", m.Path, m.Path))
		}
	}
	return strings.Join(append(moves, "sudo depmod -a && sudo reboot"), " && ")
}

// Hints are what keeps a chip from working well, or from working under load.
func Hints(f Facts) (all []Finding) {
	chip, _ := f.Chip()
	driver, loaded := f.Module(moduleOf8)
	if loaded && f.PageSize > 4096 && driver.ForceDescPageSize == 0 {
		all = append(all, pageSize(f, Warning))
	}
	if len(f.Files) > 1 {
		var list []string
		for _, m := range f.Files {
			list = append(list, m.Path+" ("+m.Origin+")")
		}
		all = append(all, warning(TwoDrivers, setAside(f), "There are %d Hailo drivers for this kernel, and the wrong one may be loaded: %s.", len(f.Files), strings.Join(list, ", ")))
	}
	if f.Undervoltage != nil && *f.Undervoltage {
		all = append(all, warning(Undervoltage, remedySupply, "The supply voltage is too low, which knocks the chip off the bus under load."))
	}
	if strings.HasPrefix(chip.LinkSpeed, "2.5") || strings.HasPrefix(chip.LinkSpeed, "5.0") {
		all = append(all, info(SlowLink, "Put dtparam=pciex1_gen=3 into /boot/firmware/config.txt and reboot.",
			"The PCIe link runs at %s, not 8.0 GT/s (Gen 3), which slows models that do not fit on the chip.", chip.LinkSpeed))
	}
	if len(f.Holders) > 0 {
		all = append(all, info(Busy, "Two programs can use the chip at a time only through hailort.service: hailo.share: service.", "%s has %s open.", holders(f.Holders), f.Node.Path))
	}
	if chip.AERCorrectable > 0 {
		all = append(all, info(LinkErrors, "If they grow by the minute, seat the ribbon cable anew, or run the link at Gen 2.", "The PCIe link has had %d errors that were put right.", chip.AERCorrectable))
	}
	return all
}

// pageSize is the finding of a kernel with large pages.
func pageSize(f Facts, s Severity) Finding {
	return Finding{
		Code: PageSize, Severity: s, Detail: fmt.Sprintf("The kernel has pages of %d KB, and the chip's driver takes descriptors of 4 KB: models cannot be configured.", f.PageSize>>10),
		Remedy: "echo 'options hailo_pci force_desc_page_size=4096' | sudo tee /etc/modprobe.d/hailo_pci.conf && sudo reboot",
	}
}

func holders(all []Holder) string {
	var names []string
	for _, h := range all {
		names = append(names, fmt.Sprintf("%s (process %d)", h.Name, h.PID))
	}
	return strings.Join(names, ", ")
}
