// Package firmware asks the firmware of a Raspberry Pi, as the program vcgencmd does: by
// its mailbox, /dev/vcio. A Pi 5 tells only there whether it is throttled, and what its
// power chip measures.
package firmware

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Device is where the mailbox is.
const Device = "/dev/vcio"

// What keeps the firmware from being asked. ErrNone is a host that is no Raspberry Pi.
var (
	ErrNone   = errors.New("no Raspberry Pi firmware on this host")
	ErrAnswer = errors.New("an answer of the firmware that makes no sense")
)

// A Mailbox is asked by Ask. The zero value is that of this host. It is safe to share:
// the kernel lets one question in at a time.
type Mailbox struct {
	// Path is in place of Device. A folder answers with the files that bear the names
	// of the commands, for tests.
	Path string
}

// Ask sends a command, as in "get_throttled", and returns the answer.
func (m Mailbox) Ask(command string) (string, error) {
	path := m.Path
	if path == "" {
		path = Device
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", ErrNone
	case err != nil:
		return "", fmt.Errorf("firmware: %w", err)
	case info.IsDir():
		answer, err := fromFile(filepath.Join(path, command))
		if err != nil {
			return "", err
		}
		return known(command, answer)
	}
	answer, err := ask(path, command)
	if errors.Is(err, fs.ErrPermission) {
		err = fmt.Errorf("%w; add this user to the group video", err)
	}
	if err != nil {
		return "", fmt.Errorf("firmware, %s: %w", command, err)
	}
	return known(command, answer)
}

// known refuses the answer to a command that this firmware does not have.
func known(command, answer string) (string, error) {
	if strings.HasPrefix(answer, "error=") {
		return "", fmt.Errorf("%w that knows %s: %.80q", ErrNone, command, answer)
	}
	return answer, nil
}

func fromFile(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNone
	}
	if err != nil {
		return "", fmt.Errorf("firmware: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, answerMost))
	if err != nil {
		return "", fmt.Errorf("firmware: %w", err)
	}
	return string(b), nil
}

// A Throttle is the word of get_throttled: what holds the processor back now, and 16 bits
// higher, what has done so since the boot.
type Throttle uint32

// The flags (raspberrypi.com/documentation, "vcgencmd get_throttled"), in the order of
// their bits.
var Flags = []string{"under_voltage", "frequency_capped", "throttled", "soft_temperature_limit"}

// Now reports whether the flag of that bit is set.
func (t Throttle) Now(bit int) bool { return t>>bit&1 != 0 }

// SinceBoot reports whether it was.
func (t Throttle) SinceBoot(bit int) bool { return t>>(16+bit)&1 != 0 }

// Throttled asks for the word.
func (m Mailbox) Throttled() (Throttle, error) {
	answer, err := m.Ask("get_throttled")
	if err != nil {
		return 0, err
	}
	return ParseThrottle(answer)
}

// ParseThrottle reads throttled=0x50005, or the number alone, in hexadecimal.
func ParseThrottle(answer string) (Throttle, error) {
	text := strings.TrimPrefix(strings.TrimSpace(answer), "throttled=")
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%w: get_throttled: %.60q", ErrAnswer, answer)
	}
	return Throttle(n), nil
}

// A Supply is what the power chip of a Pi 5 measures.
type Supply struct {
	Volts float64 // at the 5 V input: 4.9 is good, at 4.63 the firmware warns
	Watts float64 // that the board draws, reckoned from its rails
}

// Supply asks the power chip. Older Pis have none that can be asked: ErrNone.
func (m Mailbox) Supply() (Supply, error) {
	answer, err := m.Ask("pmic_read_adc")
	if err != nil {
		return Supply{}, err
	}
	return ParseSupply(answer)
}

// What the board draws besides what its rails add up to: the power chip's own losses,
// fitted to a meter at the plug (github.com/jfikar/RPi5-power).
const (
	lossShare = 1.1451
	lossWatts = 0.5879
)

// ParseSupply reads the answer to pmic_read_adc: lines as in
// "VDD_CORE_A current(7)=1.43560000A" and "EXT5V_V volt(24)=5.15252000V".
func ParseSupply(answer string) (Supply, error) {
	amps, volts := map[string]float64{}, map[string]float64{}
	for line := range strings.Lines(answer) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		_, value, found := strings.Cut(value, "=")
		if !ok || !found || len(value) < 2 {
			continue
		}
		x, err := strconv.ParseFloat(value[:len(value)-1], 64)
		if err != nil || math.IsNaN(x) || x < 0 || x > 100 {
			return Supply{}, fmt.Errorf("%w: pmic_read_adc: %.60q", ErrAnswer, line)
		}
		switch rail, unit := name[:max(len(name)-2, 0)], value[len(value)-1]; {
		case strings.HasSuffix(name, "_A") && unit == 'A':
			amps[rail] = x
		case strings.HasSuffix(name, "_V") && unit == 'V':
			volts[rail] = x
		}
	}
	s := Supply{Volts: volts["EXT5V"]}
	for rail, a := range amps {
		s.Watts += a * volts[rail]
	}
	if s.Volts == 0 || s.Watts == 0 {
		return Supply{}, fmt.Errorf("%w: pmic_read_adc: %.60q", ErrAnswer, answer)
	}
	s.Watts = s.Watts*lossShare + lossWatts
	return s, nil
}
