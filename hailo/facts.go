package hailo

import "io/fs"

// Facts are what the host tells about its accelerator before anything is loaded.
type Facts struct {
	Kernel   string `json:"kernel,omitempty"`      // uname -r
	Codename string `json:"os_codename,omitempty"` // "bookworm", "trixie"
	PageSize int    `json:"page_size,omitempty"`   // of the kernel, in bytes: 4096 or 16384 on a Pi 5

	Chips   []Chip       `json:"chips"` // on the PCIe bus; one in the usual case
	Modules []Loaded     `json:"modules,omitempty"`
	Files   []ModuleFile `json:"module_files,omitempty"` // of hailo_pci for this kernel

	Node      Node      `json:"node"`
	Firmware  string    `json:"firmware_file,omitempty"` // path of the chip's firmware; empty if it is missing
	Libraries []Library `json:"libraries,omitempty"`     // newest first

	Packages     map[string]string `json:"packages,omitempty"`     // installed ones that have to do with Hailo: version by name
	Service      bool              `json:"service"`                // the socket of hailort.service is there
	Holders      []Holder          `json:"holders,omitempty"`      // processes that hold the device
	Undervoltage *bool             `json:"undervoltage,omitempty"` // now, or since boot; nil if the host does not tell

	// Simulated says that the library was named by hand and is no HailoRT of the
	// host's, so that what the host has or lacks does not matter.
	Simulated bool `json:"simulated,omitempty"`
}

// A Chip is an accelerator on the PCIe bus. Hailo-8 and 8L have one number in
// common; only the firmware tells them apart.
type Chip struct {
	Address   string `json:"bdf"`                  // "0001:01:00.0"
	ID        string `json:"pci_id"`               // "1e60:2864"
	Driver    string `json:"driver,omitempty"`     // that is bound to it
	Dead      bool   `json:"dead,omitempty"`       // its configuration space reads as all ones
	LinkSpeed string `json:"link_speed,omitempty"` // "8.0 GT/s PCIe"
	LinkWidth string `json:"link_width,omitempty"` // lanes
	// AERCorrectable counts link errors that PCIe itself put right, since boot.
	AERCorrectable int64 `json:"aer_correctable,omitempty"`
}

// PCI numbers of the chips (pci.ids; the driver's table of devices).
const (
	IDHailo8  = "1e60:2864" // and 8L, and 8R
	IDHailo10 = "1e60:45c4" // Hailo-10H and 15H
	IDHailo15 = "43a2"      // device number alone: Hailo-15L
)

// SoC reports whether the chip is a Hailo-10H or a Hailo-15, which have another
// driver, another library and another way to be talked to.
func (c Chip) SoC() bool { return c.ID == IDHailo10 || c.ID == "1e60:"+IDHailo15 }

// A Loaded is a kernel module that is loaded.
type Loaded struct {
	Name    string  `json:"name"` // "hailo_pci", "hailo1x_pci"
	Version Version `json:"version"`
	// ForceDescPageSize is the parameter force_desc_page_size: 0 for what the
	// driver chooses, which is the kernel's page size.
	ForceDescPageSize int `json:"force_desc_page_size"`
}

// A ModuleFile is a module on disk, and who put it there.
type ModuleFile struct {
	Path   string `json:"path"`
	Origin string `json:"origin"` // "in-tree", "dkms" or "extra"
}

// A Node is the device file.
type Node struct {
	Path   string      `json:"path,omitempty"` // "/dev/hailo0"; empty: there is none
	Mode   fs.FileMode `json:"mode,omitempty"`
	Access string      `json:"access,omitempty"` // "ok", "denied" by its mode, "forbidden" by a device cgroup, or an error's text
}

// A Library is an installed libhailort.
type Library struct {
	Path    string  `json:"path"`
	Version Version `json:"version"`
}

// A Holder is a process that has the device open.
type Holder struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// Chip returns the chip that matters: the first one, or none.
func (f Facts) Chip() (Chip, bool) {
	if len(f.Chips) == 0 {
		return Chip{}, false
	}
	return f.Chips[0], true
}

// Module returns the loaded driver of that name.
func (f Facts) Module(name string) (Loaded, bool) {
	for _, m := range f.Modules {
		if m.Name == name {
			return m, true
		}
	}
	return Loaded{}, false
}

// Library returns the library that is used: the one of the driver's version if
// there is one, and otherwise the newest.
func (f Facts) Library() (Library, bool) {
	driver, loaded := f.Module(moduleOf8)
	for _, l := range f.Libraries {
		if loaded && l.Version == driver.Version {
			return l, true
		}
	}
	if len(f.Libraries) == 0 {
		return Library{}, false
	}
	return f.Libraries[0], true
}

// The names of the drivers: of Hailo-8 and 8L, and of Hailo-10H and 15.
const (
	moduleOf8  = "hailo_pci"
	moduleOf10 = "hailo1x_pci"
)
