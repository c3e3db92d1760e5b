package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"primespark/shared/firmware"
)

// A Host is where the checks of the host look. Tests give a tree of their own.
type Host struct {
	Root     string // of the file system; empty: "/"
	PageSize int    // 0: this kernel's
	// Synced reports whether the kernel's clock is kept by something, and by how
	// many seconds it may be off; nil asks the kernel.
	Synced func() (bool, float64, error)
	// Smart reads the health log of an NVMe at a device's path; nil asks the device.
	Smart func(device string) ([]byte, error)
}

// Line is the first line of a file, empty of a host that has none.
func (h Host) Line(path string) string {
	data, err := os.ReadFile(filepath.Join("/", h.Root, path))
	if err != nil {
		return "" // a host that does not tell
	}
	text, _, _ := strings.Cut(string(data), "\n")
	return strings.Trim(text, "\x00 \t\r")
}

// Glob is the paths on the host that match a pattern of path/filepath.
func (h Host) Glob(pattern string) []string {
	root := filepath.Join("/", h.Root)
	all, _ := filepath.Glob(filepath.Join(root, pattern)) // the patterns are ours, and good
	for i := range all {
		all[i] = strings.TrimPrefix(all[i], root)
	}
	return all
}

// Checks are those of the host.
func (h Host) Checks() []Check {
	return []Check{
		{"host", "machine", h.machine},
		{"host", "temperature", h.temperature},
		{"power", "supply and throttling", h.throttled},
		{"power", "input", h.supply},
		{"time", "clock", h.clock},
		{"network", "packet size", h.mtu},
		{"disk", "wear", h.wear},
	}
}

func (h Host) machine(context.Context) []Result {
	size := h.PageSize
	if size == 0 {
		size = os.Getpagesize()
	}
	machine := h.Line("proc/device-tree/model")
	if machine == "" {
		machine = "not a Raspberry Pi"
	}
	if kernel := h.Line("proc/sys/kernel/osrelease"); kernel != "" {
		machine += ", kernel " + kernel
	}
	return One(OK, fmt.Sprintf("%s, pages of %d KB", machine, size>>10), "")
}

// Limits of the processor of a Raspberry Pi 5: it slows itself down softly from
// 80 °C on, and hard at 85 °C (its documentation, frequency management).
const (
	softCelsius = 80
	hardCelsius = 85
)

func (h Host) temperature(context.Context) []Result {
	hottest := 0.0
	for _, zone := range h.Glob("sys/class/thermal/thermal_zone*/temp") {
		milli, err := strconv.ParseFloat(h.Line(zone), 64)
		if err == nil && milli < 200e3 {
			hottest = max(hottest, milli/1000)
		}
	}
	const remedy = "Fit the active cooler, and give the case air."
	switch {
	case hottest == 0:
		return nil
	case hottest >= hardCelsius:
		return One(Fault, fmt.Sprintf("The processor has %.0f °C and slows itself down hard.", hottest), remedy)
	case hottest >= softCelsius:
		return One(Warning, fmt.Sprintf("The processor has %.0f °C and slows itself down.", hottest), remedy)
	}
	return One(OK, fmt.Sprintf("The processor has %.0f °C", hottest), "")
}

// What the firmware's flags mean, in the order of their bits.
var throttleBits = []struct{ now, then string }{
	{"the supply voltage is too low", "the supply voltage was too low"},
	{"the processor's speed is capped", "the processor's speed was capped"},
	{"the processor is throttled", "the processor was throttled"},
	{"the soft temperature limit is active", "the soft temperature limit was active"},
}

// word is what the firmware says of throttling, by the kernel where it shows it, else
// by the mailbox.
func (h Host) word() (firmware.Throttle, error) {
	for _, path := range h.Glob("sys/devices/platform/*/*firmware/get_throttled") {
		if w, err := firmware.ParseThrottle(h.Line(path)); err == nil {
			return w, nil
		}
	}
	return h.firmware().Throttled()
}

func (h Host) firmware() firmware.Mailbox {
	return firmware.Mailbox{Path: filepath.Join("/", h.Root, firmware.Device)}
}

// Limits of the voltage at the input of a Pi 5. A good supply gives 4.9 V and more; at
// 4.63 V the firmware throttles.
const (
	weakVolts = 4.80
	badVolts  = 4.70
)

// supply asks the power chip, which a Pi 5 has.
func (h Host) supply(context.Context) []Result {
	s, err := h.firmware().Supply()
	const remedy = "Use the 27 W USB-C supply (5 V, 5 A) and a short cable. On a UPS board: charge it, and look at the contacts of its pogo pins."
	switch {
	case errors.Is(err, firmware.ErrNone):
		return nil
	case err != nil:
		return One(Info, "The firmware does not tell about the supply: "+err.Error()+".", "Run it with sudo.")
	case s.Volts < badVolts:
		return One(Fault, fmt.Sprintf("The 5 V input has %.2f V, and the board draws %.1f W.", s.Volts, s.Watts), remedy)
	case s.Volts < weakVolts:
		return One(Warning, fmt.Sprintf("The 5 V input has %.2f V, and the board draws %.1f W.", s.Volts, s.Watts), remedy)
	}
	return One(OK, fmt.Sprintf("The 5 V input has %.2f V, and the board draws %.1f W", s.Volts, s.Watts), "")
}

func (h Host) throttled(context.Context) []Result {
	const remedy = "Use the 27 W USB-C supply (5 V, 5 A) and a short cable; look at the temperature, too."
	if w, err := h.word(); err == nil {
		var now, then []string
		for bit, t := range throttleBits {
			if w.Now(bit) {
				now = append(now, t.now)
			} else if w.SinceBoot(bit) {
				then = append(then, t.then)
			}
		}
		switch {
		case len(now) > 0:
			return One(Warning, "Now "+strings.Join(now, ", ")+".", remedy)
		case len(then) > 0:
			return One(Warning, "Since boot "+strings.Join(then, ", ")+".", remedy)
		}
		return One(OK, "The supply is strong enough, and nothing is throttled", "")
	}
	for _, name := range h.Glob("sys/class/hwmon/hwmon*/name") {
		if h.Line(name) != "rpi_volt" {
			continue
		}
		if h.Line(filepath.Join(filepath.Dir(name), "in0_lcrit_alarm")) == "1" {
			return One(Warning, "The supply voltage is too low.", remedy)
		}
		return One(OK, "The supply is strong enough", "")
	}
	return nil // no Raspberry Pi
}

// clock asks whether something keeps the clock: certificates and deadlines hang on it.
func (h Host) clock(context.Context) []Result {
	ask := h.Synced
	if ask == nil {
		ask = synced
	}
	switch ok, off, err := ask(); {
	case err != nil:
		return One(Info, "The kernel does not tell about its clock: "+err.Error()+".", "")
	case !ok:
		return One(Warning, "Nothing keeps this host's clock right.", "sudo timedatectl set-ntp true; timedatectl timesync-status shows the server. In a container the host's clock counts.")
	default:
		return One(OK, fmt.Sprintf("The clock is kept, to within %.0f ms", off*1000), "")
	}
}

// synced asks the kernel (adjtimex(2)).
func synced() (ok bool, off float64, err error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0, float64(t.Maxerror) / 1e6, err
}
