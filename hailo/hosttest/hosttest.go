// Package hosttest makes trees of files that look like a host with a Hailo, in
// order or not, for tests of who looks at one.
package hosttest

import (
	"strings"

	"primespark/shared/treetest"
)

// A Tree is files by path.
type Tree = treetest.Tree

// The paths that faults are about.
const (
	PCI      = "sys/bus/pci/devices/0001:01:00.0"
	Module   = "sys/module/hailo_pci"
	Firmware = "lib/firmware/hailo/hailo8_fw.bin"
	Library  = "usr/lib/libhailort.so.4.23.0"
	Node     = "dev/hailo0"
	Driver   = "lib/modules/6.12.47+rpt-rpi-2712/updates/dkms/hailo_pci.ko.xz"
	Packages = "var/lib/dpkg/status"
)

// Good is a Raspberry Pi 5 with Raspberry Pi OS Trixie and a Hailo-8 that works.
func Good() Tree {
	return Tree{
		"proc/sys/kernel/osrelease":                 "6.12.47+rpt-rpi-2712\n",
		"etc/os-release":                            "NAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=trixie\n",
		PCI + "/vendor":                             "0x1e60\n",
		PCI + "/device":                             "0x2864\n",
		PCI + "/driver":                             "-> ../../../../bus/pci/drivers/hailo",
		PCI + "/current_link_speed":                 "8.0 GT/s PCIe\n",
		PCI + "/current_link_width":                 "1\n",
		PCI + "/config":                             "\x60\x1e\x64\x28",
		PCI + "/aer_dev_correctable":                "RxErr 0\nTOTAL_ERR_COR 0\n",
		Module + "/version":                         "4.23.0\n",
		Module + "/parameters/force_desc_page_size": "0\n",
		Driver:                                   "ELF",
		Firmware:                                 "firmware",
		Library:                                  "ELF",
		Node:                                     "",
		"sys/class/hwmon/hwmon2/name":            "rpi_volt\n",
		"sys/class/hwmon/hwmon2/in0_lcrit_alarm": "0\n",
		Packages:                                 Installed("dkms", "3.0", "hailort", "4.23.0", "hailort-pcie-driver", "4.23.0", "python3-hailort", "4.23.0-1"),
	}
}

// Installed is a list of packages as dpkg keeps it, given name and version by turns.
func Installed(packages ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(packages); i += 2 {
		b.WriteString("Package: " + packages[i] + "\nStatus: install ok installed\nVersion: " + packages[i+1] + "\n\n")
	}
	b.WriteString("Package: hailo-models\nStatus: deinstall ok config-files\nVersion: 1.0.0-2\n")
	return b.String()
}
