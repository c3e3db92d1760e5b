package batterytest

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"primespark/agent/battery/registers"
)

//go:embed traces/*.trace
var traces embed.FS

// A Trace is what the registers of a chip showed over time, and what its bus did.
type Trace struct {
	Name  string
	Chip  *registers.Chip
	Addr  uint16
	bus   *Bus
	steps []step
	next  int
}

// A step is one line of a trace.
type step struct {
	at    time.Duration
	reg   byte
	value uint16
	fault string // nak, disturbed, stall, unplug; ok ends the last two
}

// Traces returns those that people told of, as makers' support threads and issues have
// them, put into register values. Lines are as in "5s 0x02 = 0xc300" and "9s nak"; the
// first names the chip.
func Traces() (all []*Trace, err error) {
	files, err := traces.ReadDir("traces")
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		text, err := traces.ReadFile(path.Join("traces", f.Name()))
		if err != nil {
			return nil, err
		}
		t, err := parseTrace(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name(), err)
		}
		t.Name = strings.TrimSuffix(f.Name(), ".trace")
		all = append(all, t)
	}
	return all, nil
}

func parseTrace(text string) (*Trace, error) {
	t := &Trace{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		var err error
		switch {
		case len(words) == 0:
		case words[0] == "chip":
			err = t.chip(line)
		default:
			err = t.add(words)
		}
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
	}
	if t.Chip == nil {
		return nil, errors.New("no line names the chip")
	}
	t.bus = new(Bus).Add(t.Addr, t.Chip)
	return t, lines.Err()
}

// chip reads the line that names the chip, which is that of a file of registers.
func (t *Trace) chip(line string) error {
	chips, err := registers.Parse([]byte(line))
	for t.Addr, t.Chip = range chips {
	}
	return err
}

func (t *Trace) add(words []string) error {
	at, err := time.ParseDuration(words[0])
	if err != nil {
		return err
	}
	s := step{at: at}
	switch {
	case len(words) == 2:
		s.fault = words[1]
	case len(words) == 4 && words[2] == "=":
		reg, err := strconv.ParseUint(words[1], 0, 8)
		if err != nil {
			return err
		}
		value, err := strconv.ParseUint(words[3], 0, 16)
		if err != nil {
			return err
		}
		s.reg, s.value = byte(reg), uint16(value)
	default:
		return errors.New("neither a fault nor a register")
	}
	t.steps = append(t.steps, s)
	return nil
}

// Bus is the bus with the trace's chip.
func (t *Trace) Bus() *Bus { return t.bus }

// Length is when the last thing happens.
func (t *Trace) Length() time.Duration { return t.steps[len(t.steps)-1].at }

// Play brings the chip and its bus to where they were after so long. Time only goes on.
func (t *Trace) Play(passed time.Duration) {
	for ; t.next < len(t.steps) && t.steps[t.next].at <= passed; t.next++ {
		s := t.steps[t.next]
		switch s.fault {
		case "nak":
			t.bus.Fail(ErrNAK)
		case "disturbed":
			t.bus.Fail(ErrDisturbed)
		case "stall":
			t.bus.Stall(true)
		case "unplug":
			t.bus.Unplug(true)
		case "ok":
			t.bus.Stall(false)
			t.bus.Unplug(false)
		default:
			t.bus.Do(func() { t.Chip.Set(s.reg, s.value) })
		}
	}
}
