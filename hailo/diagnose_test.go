package hailo_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"primespark/hailo"
	. "primespark/hailo/hosttest"
	"primespark/shared/goldentest"
	"primespark/shared/worker/frame"
)

// TestDiagnose goes through the faults of the field (the rows of what boards'
// owners complain of), each as a host has it.
func TestDiagnose(t *testing.T) {
	const kernel = "6.12.47+rpt-rpi-2712"
	inTree := "lib/modules/" + kernel + "/kernel/drivers/media/pci/hailo/hailo_pci.ko.xz"
	bookworm := Good().Without(Driver, Library).With("usr/lib/libhailort.so.4.20.0", "ELF", Module+"/version", "4.20.0\n", "etc/os-release", "VERSION_CODENAME=bookworm\n", inTree, "ELF",
		Packages, Installed("hailort", "4.20.0", "hailofw", "4.20.0-1"))
	refuse := func(err error) func(string) error {
		return func(path string) error { return &fs.PathError{Op: "open", Path: path, Err: err} }
	}
	rows := map[string]struct {
		tree Tree
		host hailo.Host
	}{
		"all in order":                         {tree: Good()},
		"no chip, nothing installed":           {tree: Tree{"proc/sys/kernel/osrelease": kernel}},
		"no chip, and HailoRT installed":       {tree: Good().Without(PCI, Node)},
		"driver older than the library":        {tree: Good().With(Module+"/version", "4.20.0\n")},
		"bookworm: driver of the kernel older": {tree: bookworm.With(Module+"/version", "4.19.0\n")},
		"hailo-dkms of another version":        {tree: Good().With(Module+"/version", "4.17.0\n", Packages, Installed("hailo-dkms", "4.17.0", "dkms", "3"))},
		"in-tree driver wins over DKMS":        {tree: Good().With(inTree, "ELF", Module+"/version", "4.20.0\n")},
		"two drivers, the right one loaded":    {tree: Good().With(inTree, "ELF")},
		"no driver after a kernel upgrade, no dkms": {tree: Good().Without(Module, Node, Driver, PCI+"/driver").
			With(Packages, Installed("hailort", "4.23.0", "hailort-pcie-driver", "4.23.0"))},
		"no driver after a kernel upgrade":     {tree: Good().Without(Module, Node, Driver, PCI+"/driver")},
		"driver never installed":               {tree: Good().Without(Module, Node, Driver, PCI+"/driver").With(Packages, Installed("dkms", "3"))},
		"driver on disk, not loaded":           {tree: Good().Without(Module, Node, PCI+"/driver")},
		"16 KB pages":                          {tree: Good(), host: hailo.Host{PageSize: 16384}},
		"16 KB pages, with the option set":     {tree: Good().With(Module+"/parameters/force_desc_page_size", "4096\n"), host: hailo.Host{PageSize: 16384}},
		"held by another program":              {tree: Good().With("proc/812/fd/7", "-> /dev/hailo0", "proc/812/comm", "rpicam-hello\n", "proc/9/fd/1", "-> /dev/null")},
		"undervoltage":                         {tree: Good().With("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")},
		"fallen off the bus":                   {tree: Good().With(PCI+"/config", "\xff\xff\xff\xff")},
		"fallen off the bus by undervoltage":   {tree: Good().With(PCI+"/config", "\xff\xff\xff\xff", "sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")},
		"fallen off the bus, supply unknown":   {tree: Good().Without("sys/class/hwmon").With(PCI+"/config", "\xff\xff\xff\xff")},
		"MSI exhausted":                        {tree: Good().Without(Node, PCI+"/driver")},
		"bound, and no device file":            {tree: Good().Without(Node)},
		"firmware missing":                     {tree: Good().Without(Firmware, Node)},
		"bookworm: firmware missing":           {tree: bookworm.Without(Firmware, Node)},
		"hailo1x_pci for a Hailo-8":            {tree: Good().Without(Module).With("sys/module/hailo1x_pci/version", "5.1.1\n")},
		"hailo_pci for a Hailo-10H":            {tree: Good().With(PCI+"/device", "0x45c4\n")},
		"Hailo-10H without its Python package": {tree: Good().Without(Module).With(PCI+"/device", "0x45c4\n", "sys/module/hailo1x_pci/version", "5.1.1\n")},
		"Hailo-10H in order": {tree: Good().Without(Module, Library).With(PCI+"/device", "0x45c4\n", "sys/module/hailo1x_pci/version", "5.1.1\n",
			"usr/lib/libhailort.so.5.1.1", "ELF", Packages, Installed("python3-h10-hailort", "5.1.1", "h10-hailort", "5.1.1"))},
		"mode bits":            {tree: Good(), host: hailo.Host{Open: refuse(syscall.EACCES)}},
		"device cgroup":        {tree: Good(), host: hailo.Host{Open: refuse(syscall.EPERM)}},
		"device does not open": {tree: Good(), host: hailo.Host{Open: func(string) error { return errors.New("no such device") }}},
		"no library":           {tree: Good().Without(Library)},
		"no library for a Hailo-10H": {tree: Good().Without(Module, Library).With(PCI+"/device", "0x45c4\n", "sys/module/hailo1x_pci/version", "5.1.1\n",
			Packages, Installed("python3-h10-hailort", "5.1.1"))},
		"two libraries, one fits": {tree: Good().With("usr/local/lib/libhailort.so.4.24.0", "ELF")},
		"PCIe Gen 2":              {tree: Good().With(PCI+"/current_link_speed", "5.0 GT/s PCIe\n")},
		"link errors":             {tree: Good().With(PCI+"/aer_dev_correctable", "RxErr 12\nTOTAL_ERR_COR 12\n")},
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		row := rows[name]
		row.host.Root = row.tree.Make(t)
		if row.host.PageSize == 0 {
			row.host.PageSize = 4096
		}
		if row.host.Open == nil {
			row.host.Open = func(string) error { return nil }
		}
		fmt.Fprintf(&b, "## %s\n", name)
		for _, f := range hailo.Diagnose(hailo.Probe(row.host)) {
			fmt.Fprintf(&b, "%s %s\n  %s\n  > %s\n", f.Severity, f.Code, f.Detail, f.Remedy)
		}
	}
	goldentest.Compare(t, "diagnose.txt", b.String())
}

// TestExplain goes through what the library's numbers mean.
func TestExplain(t *testing.T) {
	good := hailo.Host{Root: Good().Make(t), PageSize: 4096, Open: func(string) error { return nil }}
	large := good
	large.PageSize = 16384
	held := good
	held.Root = Good().With("proc/812/fd/7", "-> /dev/hailo0", "proc/812/comm", "python3\n").Make(t)
	bare := hailo.Host{Root: Tree{}.Make(t), PageSize: 4096}
	old := good
	old.Root = Good().With(Module+"/version", "4.20.0\n").Make(t)
	weak := good
	weak.Root = Good().With("sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n").Make(t)
	var b strings.Builder
	say := func(name string, h hailo.Host, f frame.Failure) {
		log := ""
		if name == "" {
			log = "the library says why"
		}
		found := hailo.Explain(&f, log, hailo.Probe(h))
		fmt.Fprintf(&b, "## %d %s%s\n%s %s -> %s\n  %s\n  > %s\n", f.Status, f.Call, name, found.Severity, found.Code, hailo.StateOf(found.Code), found.Detail, found.Remedy)
	}
	for _, status := range []frame.Status{-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 18, 24, 26, 36, 44, 47, 48, 57, 62, 63, 64, 70, 71, 72, 73, 74, 76, 77, 78, 79, 81, 85, 86, 87, 88, 89, 91, 92, 93, 94, 1234} {
		say("", good, frame.Failure{Type: frame.Load, Status: status, Call: "hailo_configure_vdevice", Text: "HAILO_SOMETHING"})
	}
	say(" with 16 KB pages", large, frame.Failure{Status: 8, Call: "hailo_configure_vdevice"})
	say(" held by another", held, frame.Failure{Status: 74, Call: "hailo_create_vdevice"})
	say(" without a chip", bare, frame.Failure{Status: 74, Call: "hailo_create_vdevice"})
	say(" with another driver", old, frame.Failure{Status: 76, Call: "hailo_create_vdevice"})
	say(" with a weak supply", weak, frame.Failure{Status: 36, Call: "hailo_vstream_read_raw_buffer"})
	goldentest.Compare(t, "explain.txt", b.String())
}

func TestProbe(t *testing.T) {
	f := hailo.Probe(hailo.Host{Root: Good().With("usr/lib/libhailort.so.4.20.0", "ELF", "tmp/hailort_uds.sock", "").Make(t), PageSize: 4096, Open: func(string) error { return nil }})
	if c, _ := f.Chip(); c.Address != "0001:01:00.0" || c.ID != hailo.IDHailo8 || c.Driver != "hailo" || c.LinkSpeed != "8.0 GT/s PCIe" || c.LinkWidth != "1" {
		t.Errorf("chip %+v", c)
	}
	if l, _ := f.Library(); l.Path != "/usr/lib/libhailort.so.4.23.0" || len(f.Libraries) != 2 {
		t.Errorf("library %+v of %+v", l, f.Libraries)
	}
	if f.Kernel != "6.12.47+rpt-rpi-2712" || f.Codename != "trixie" || !f.Service || f.Node.Path != "/dev/hailo0" {
		t.Errorf("%+v", f)
	}
	if len(f.Packages) != 4 || f.Packages["hailort"] != "4.23.0" { // hailo-models was removed
		t.Errorf("packages %v", f.Packages)
	}
	// A host that tells nothing is no reason to fall over.
	if f := hailo.Probe(hailo.Host{Root: t.TempDir()}); len(f.Chips) != 0 || f.PageSize == 0 {
		t.Errorf("an empty host: %+v", f)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]hailo.Version{
		"4.23.0": {4, 23, 0}, "4.20.0-1": {4, 20, 0}, "5.1.1 (release)": {5, 1, 1}, "": {}, "v4": {}, "4.2": {}, "99999.1.1": {},
	} {
		if got := hailo.ParseVersion(text); got != want {
			t.Errorf("ParseVersion(%q) = %v, want %v", text, got, want)
		}
	}
	if v := (hailo.Version{Major: 4, Minor: 9}); v.Compare(hailo.Version{Major: 4, Minor: 20}) >= 0 || v.String() != "4.9.0" {
		t.Errorf("%v", v)
	}
}

// FuzzProbe gives Probe files with anything in them.
func FuzzProbe(f *testing.F) {
	f.Add("4.23.0\n", Installed("hailort", "4.23.0"), []byte{0x60, 0x1e}, "TOTAL_ERR_COR 7")
	f.Fuzz(func(t *testing.T, line, packages string, config []byte, aer string) {
		tree := Good().With(Module+"/version", line, Packages, packages, PCI+"/config", string(config), PCI+"/aer_dev_correctable", aer,
			PCI+"/current_link_speed", line, "etc/os-release", line, Module+"/parameters/force_desc_page_size", line)
		for _, found := range hailo.Diagnose(hailo.Probe(hailo.Host{Root: tree.Make(t)})) {
			if found.Detail == "" || found.Code == "" {
				t.Errorf("%+v", found)
			}
		}
	})
}
