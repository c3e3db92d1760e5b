// Package detect looks which UPS board a node may have, for a person to decide. It reads
// signatures at the few addresses where such boards are, and shows the raw registers; what
// it proposes is text to paste. Nothing is configured by it, and nothing is written to a chip.
package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"primespark/agent/battery/gauge"
	"primespark/agent/battery/gpioline"
	"primespark/agent/battery/i2cdev"
)

// A Report is what was found.
type Report struct {
	Bus       string     `json:"bus"`
	BusFault  string     `json:"bus_fault,omitempty"` // why it cannot be read
	Chips     []Chip     `json:"chips"`               // that answer where UPS boards are
	Line      *Line      `json:"line,omitempty"`      // of the header, where a board with one may be
	Supplies  []string   `json:"supplies"`            // batteries that the kernel knows
	UPSes     []string   `json:"upses"`               // of the NUT server
	Proposals []Proposal `json:"proposals"`           // the likeliest first
}

// A Chip is one that answers.
type Chip struct {
	Address   string   `json:"address"`
	Registers []string `json:"registers"` // as they were read, register=bytes
	Fits      []string `json:"fits"`      // sources
	Shows     string   `json:"shows"`     // what a driver reads there; empty if none fits
	Why       []string `json:"why_not"`   // of the sources that do not fit
	Shares    string   `json:"shares"`    // other chips that use the address
}

// A Line is the power-loss line as it is now.
type Line struct {
	Chip   string `json:"chip"`
	Offset int    `json:"offset"`
	Level  string `json:"level,omitempty"` // high or low
	Fault  string `json:"fault,omitempty"`
}

// A Proposal is one source that may be the node's.
type Proposal struct {
	Source string `json:"source"`
	Boards string `json:"boards"`
	Signed bool   `json:"signed"` // the chip says who it is
	Why    string `json:"why"`
	YAML   string `json:"yaml"` // to paste
}

// A Finder knows where to look. Nil funcs leave their part out.
type Finder struct {
	Bus      gauge.Bus
	BusName  string
	Usual    bool                                    // BusName is the default
	Level    func(context.Context) (bool, error)     // of the power-loss line: high
	LineAt   gpioline.Config                         // which line that is
	Supplies func() []string                         // batteries of the kernel
	UPSes    func(context.Context) ([]string, error) // of a NUT server
	Server   string                                  // its address
}

// each is how long one look at an address may take.
const each = 2 * time.Second

// shares are other chips at the addresses of UPS boards.
var shares = map[uint16]string{
	0x36: "AS5600, Seesaw", 0x40: "PCA9685, HTU21, Si7021", 0x43: "LiFePO4wered", 0x57: "AT24C32, MAX3010x", 0x5c: "BH1750, AM2320", 0x62: "SCD4x, CW2015",
}

// Find looks.
func (f Finder) Find(ctx context.Context) Report {
	r := Report{Bus: f.BusName, Chips: []Chip{}, Supplies: []string{}, UPSes: []string{}, Proposals: []Proposal{}}
	if f.Supplies != nil {
		for _, name := range f.Supplies() {
			r.Supplies = append(r.Supplies, name)
			r.propose("power_supply", true, "the kernel has a driver for "+name, fmt.Sprintf("battery:\n  source: power_supply\n  supply: %s\n", name))
		}
	}
	for _, address := range addresses() {
		if !f.look(ctx, &r, address) {
			break // without a bus there is nothing at the others, either
		}
	}
	if f.UPSes != nil {
		f.servers(ctx, &r)
	}
	slices.SortStableFunc(r.Proposals, func(a, b Proposal) int { return rank(a) - rank(b) })
	return r
}

// rank puts those first that say who they are.
func rank(p Proposal) int {
	if p.Signed {
		return 0
	}
	return 1
}

// addresses are those of all boards, each once.
func addresses() (all []uint16) {
	for _, m := range gauge.Models() {
		all = append(all, m.Addresses...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// look tries every model that may be at an address, and reports whether there is a bus.
func (f Finder) look(ctx context.Context, r *Report, address uint16) (bus bool) {
	chip := Chip{Address: fmt.Sprintf("%#02x", address), Registers: []string{}, Fits: []string{}, Why: []string{}, Shares: shares[address]}
	for _, m := range gauge.Models() {
		if !slices.Contains(m.Addresses, address) {
			continue
		}
		e := f.identify(ctx, m, address)
		switch {
		case errors.Is(e.Err, i2cdev.ErrGone):
			r.BusFault = e.Err.Error()
			return false
		case errors.Is(e.Err, i2cdev.ErrNAK) && len(e.Registers) == 0:
			return true // nobody is there
		}
		chip.add(m.Source, e)
		if e.Err == nil {
			f.proposed(ctx, r, m, address, e)
		}
	}
	r.Chips = append(r.Chips, chip)
	return true
}

func (f Finder) identify(ctx context.Context, m gauge.Model, address uint16) gauge.Evidence {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	return m.Identify(ctx, f.Bus, address)
}

// add takes in what one model made of the chip.
func (c *Chip) add(source string, e gauge.Evidence) {
	for _, reg := range e.Registers {
		if text := reg.String(); !slices.Contains(c.Registers, text) {
			c.Registers = append(c.Registers, text)
		}
	}
	if e.Err != nil {
		c.Why = append(c.Why, source+": "+e.Err.Error())
		return
	}
	c.Fits, c.Shows = append(c.Fits, source), e.Shows
}

func (f Finder) proposed(ctx context.Context, r *Report, m gauge.Model, address uint16, e gauge.Evidence) {
	why := fmt.Sprintf("chip %#02x fits: %s", address, e.Shows)
	var text strings.Builder
	if !f.Usual {
		fmt.Fprintf(&text, "i2c:\n  bus: %s\n", f.BusName)
	}
	fmt.Fprintf(&text, "battery:\n  source: %s\n", m.Source)
	if address != m.Addresses[0] {
		fmt.Fprintf(&text, "  address: %#02x\n", address)
	}
	if m.Line != nil && f.Level != nil {
		if r.Line == nil {
			r.Line = f.line(ctx)
		}
		why += fmt.Sprintf("; line %d is %s", r.Line.Offset, r.Line.Level+r.Line.Fault)
		if level := map[bool]string{true: "low", false: "high"}[m.Line.Low]; r.Line.Level != "" && r.Line.Level != level {
			why += ", which on such a board means that the mains are lost"
		}
	}
	r.propose(m.Source, e.Signed, why, text.String())
}

func (f Finder) line(ctx context.Context) *Line {
	l := &Line{Chip: f.LineAt.Chip, Offset: f.LineAt.Offset}
	high, err := f.Level(ctx)
	switch {
	case err != nil:
		l.Fault = err.Error()
	case high:
		l.Level = "high"
	default:
		l.Level = "low"
	}
	return l
}

// servers asks for the UPSes of a NUT server. That there is none is no news.
func (f Finder) servers(ctx context.Context, r *Report) {
	ctx, cancel := context.WithTimeout(ctx, each)
	defer cancel()
	names, err := f.UPSes(ctx)
	if err != nil {
		return
	}
	for _, name := range names {
		r.UPSes = append(r.UPSes, name)
		r.propose("nut", true, fmt.Sprintf("the server at %s has the UPS %s", f.Server, name), fmt.Sprintf("battery:\n  source: nut\n  nut:\n    server: %s\n    ups: %s\n", f.Server, name))
	}
}

func (r *Report) propose(source string, signed bool, why, yaml string) {
	m, _ := gauge.Find(source)
	r.Proposals = append(r.Proposals, Proposal{source, m.Boards, signed, why, yaml})
}
