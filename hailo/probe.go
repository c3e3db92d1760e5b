package hailo

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A Host is where Probe looks. Tests give a tree of their own.
type Host struct {
	Root     string                  // of the file system; empty: "/"
	PageSize int                     // 0: this kernel's
	Open     func(path string) error // of the device; nil: open it for reading and writing, and close it
}

// Probe looks at the host. It loads nothing, changes nothing and needs no
// privileges; what cannot be read is left out.
func Probe(h Host) Facts {
	f := Facts{
		Kernel:   h.line("proc/sys/kernel/osrelease"),
		Codename: h.codename(),
		PageSize: h.PageSize,
		Chips:    h.chips(),
		Modules:  h.modules(),
		Node:     h.node(),
		Packages: h.packages(),
		Service:  h.exists("tmp/hailort_uds.sock"),
	}
	if f.PageSize == 0 {
		f.PageSize = os.Getpagesize()
	}
	f.Files = h.moduleFiles(f.Kernel)
	f.Libraries = h.libraries()
	f.Firmware = h.firmware()
	f.Undervoltage = h.undervoltage()
	if f.Node.Path != "" {
		f.Holders = h.holders(f.Node.Path)
	}
	return f
}

// path is where a file of the host is.
func (h Host) path(elem ...string) string {
	return filepath.Join(append([]string{"/", h.Root}, elem...)...)
}

// glob lists what matches, as paths of the host.
func (h Host) glob(pattern string) []string {
	all, _ := filepath.Glob(h.path(pattern)) // the patterns are ours, and good
	for i := range all {
		all[i] = "/" + strings.TrimPrefix(strings.TrimPrefix(all[i], h.path()), "/")
	}
	return all
}

func (h Host) exists(path string) bool {
	_, err := os.Stat(h.path(path))
	return err == nil
}

// maxFact bounds what is read of one file: the list of packages is the longest.
const maxFact = 16 << 20

func (h Host) read(path string) []byte {
	file, err := os.Open(h.path(path))
	if err != nil {
		return nil // left out, as Probe says
	}
	defer file.Close()
	data, _ := io.ReadAll(io.LimitReader(file, maxFact)) // what there is of it
	return data
}

// line is the first line of a file of a line.
func (h Host) line(path string) string {
	text, _, _ := strings.Cut(string(h.read(path)), "\n")
	return strings.TrimSpace(text)
}

func (h Host) codename() string {
	for l := range strings.Lines(string(h.read("etc/os-release"))) {
		if v, ok := strings.CutPrefix(l, "VERSION_CODENAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return ""
}

// chips finds the accelerators by their PCI numbers.
func (h Host) chips() []Chip {
	chips := []Chip{}
	for _, dir := range h.glob("sys/bus/pci/devices/*") {
		vendor := strings.TrimPrefix(h.line(dir+"/vendor"), "0x")
		device := strings.TrimPrefix(h.line(dir+"/device"), "0x")
		if vendor != "1e60" && device != IDHailo15 {
			continue
		}
		c := Chip{
			Address: filepath.Base(dir), ID: vendor + ":" + device,
			LinkSpeed: h.line(dir + "/current_link_speed"), LinkWidth: h.line(dir + "/current_link_width"),
		}
		if to, err := os.Readlink(h.path(dir, "driver")); err == nil {
			c.Driver = filepath.Base(to)
		}
		head := h.read(dir + "/config")
		c.Dead = len(head) >= 4 && bytes.Equal(head[:4], []byte{0xff, 0xff, 0xff, 0xff})
		c.AERCorrectable = h.correctable(dir)
		chips = append(chips, c)
	}
	return chips
}

// correctable is the total of aer_dev_correctable, whose lines are "NAME COUNT".
func (h Host) correctable(dir string) int64 {
	for l := range strings.Lines(string(h.read(dir + "/aer_dev_correctable"))) {
		if count, ok := strings.CutPrefix(l, "TOTAL_ERR_COR "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(count), 10, 64) // 0 for what is no number
			return n
		}
	}
	return 0
}

func (h Host) modules() (all []Loaded) {
	for _, name := range []string{moduleOf8, moduleOf10} {
		dir := "sys/module/" + name
		if !h.exists(dir) {
			continue
		}
		force, _ := strconv.Atoi(h.line(dir + "/parameters/force_desc_page_size")) // 0 where there is none
		all = append(all, Loaded{name, ParseVersion(h.line(dir + "/version")), force})
	}
	return all
}

// moduleFiles finds the driver of Hailo-8 on disk, for the kernel that runs.
func (h Host) moduleFiles(kernel string) (all []ModuleFile) {
	if kernel == "" || strings.ContainsAny(kernel, `/*?[\`) {
		return nil
	}
	for _, place := range []struct{ pattern, origin string }{
		{"kernel/drivers/*/*/hailo/hailo_pci.ko*", "in-tree"},
		{"kernel/drivers/*/hailo/hailo_pci.ko*", "in-tree"},
		{"kernel/drivers/misc/hailo_pci.ko*", "extra"}, // where the driver's own "make install" puts it
		{"updates/dkms/hailo_pci.ko*", "dkms"},
		{"updates/hailo_pci.ko*", "extra"},
		{"extra/hailo_pci.ko*", "extra"},
	} {
		for _, path := range h.glob("lib/modules/" + kernel + "/" + place.pattern) {
			all = append(all, ModuleFile{path, place.origin})
		}
	}
	return all
}

func (h Host) node() Node {
	nodes := h.glob("dev/hailo[0-9]*")
	if len(nodes) == 0 {
		return Node{}
	}
	n := Node{Path: nodes[0], Access: "ok"}
	if info, err := os.Stat(h.path(n.Path)); err == nil {
		n.Mode = info.Mode()
	}
	open := h.Open
	if open == nil {
		open = tryOpen
	}
	switch err := open(h.path(n.Path)); {
	case errors.Is(err, syscall.EPERM): // a device cgroup, whatever the mode says
		n.Access = "forbidden"
	case errors.Is(err, syscall.EACCES):
		n.Access = "denied"
	case err != nil:
		n.Access = err.Error()
	}
	return n
}

// tryOpen opens the device as the worker will. The driver lets many do that, and
// it is not in use by it.
func tryOpen(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return file.Close()
}

// libraryDirs are where packages and "make install" put the library, in the
// order in which equal versions count.
var libraryDirs = []string{"usr/lib", "usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/local/lib", "usr/local/lib/aarch64-linux-gnu"}

// libraries finds the runtimes by their file names, which hold the version: the
// package has no link without one.
func (h Host) libraries() (all []Library) {
	for _, dir := range libraryDirs {
		for _, path := range h.glob(dir + "/libhailort.so.*") {
			if v := libraryVersion(path); v != (Version{}) {
				all = append(all, Library{path, v})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Library) int { return b.Version.Compare(a.Version) })
	return all
}

// libraryVersion is the version in a library's file name, none if there is none.
func libraryVersion(path string) Version {
	return ParseVersion(strings.TrimPrefix(filepath.Base(path), "libhailort.so."))
}

// firmware finds the chip's firmware where kernels look for it.
func (h Host) firmware() string {
	for _, pattern := range []string{"lib/firmware/updates/hailo/hailo8_fw*.bin*", "lib/firmware/hailo/hailo8_fw*.bin*", "usr/lib/firmware/hailo/hailo8_fw*.bin*"} {
		if found := h.glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	return ""
}

var ofHailo = regexp.MustCompile(`^(python3-|h10-)*hailo|^(python3-)?h10-|^rpicam-apps-hailo|^dkms$`)

// packages reads which packages of Hailo are installed, of dpkg's list.
func (h Host) packages() map[string]string {
	all := map[string]string{}
	name, installed := "", false
	lines := bufio.NewScanner(bytes.NewReader(h.read("var/lib/dpkg/status")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ": ")
		switch key {
		case "Package":
			name, installed = value, false
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		case "Version":
			if installed && ofHailo.MatchString(name) && len(all) < 32 {
				all[name] = value
			}
		}
	}
	return all
}

// undervoltage asks the Pi's own alarm (driver raspberrypi-hwmon, "rpi_volt").
func (h Host) undervoltage() *bool {
	for _, dir := range h.glob("sys/class/hwmon/hwmon*") {
		if h.line(dir+"/name") != "rpi_volt" {
			continue
		}
		if v := h.line(dir + "/in0_lcrit_alarm"); v != "" {
			low := v != "0"
			return &low
		}
	}
	return nil
}

// holders lists the processes that have the device open, as far as this user may see.
func (h Host) holders(node string) (all []Holder) {
	seen := map[int]bool{}
	for _, fd := range h.glob("proc/[0-9]*/fd/*") {
		to, err := os.Readlink(h.path(fd))
		if err != nil || to != node {
			continue // gone meanwhile, or something else
		}
		process := filepath.Dir(filepath.Dir(fd))
		pid, err := strconv.Atoi(filepath.Base(process))
		if err != nil || seen[pid] || pid == os.Getpid() {
			continue
		}
		seen[pid] = true
		all = append(all, Holder{pid, h.line(process + "/comm")})
	}
	slices.SortFunc(all, func(a, b Holder) int { return a.PID - b.PID })
	return all
}
