// Package registers is what chips on an I²C bus are to a driver: registers at an
// address. Chips made of memory stand in for real ones in tests, and a file of registers
// in place of a bus shows a UPS board to an agent that has none.
//
// Such a file names chips by their address, and their registers below:
//
//	# MAX17048: registers are words, high byte first
//	chip 0x36 words
//	0x02 = 0xc300        # 3.9 V
//	0x04 = 0x5780        # 87.5 %
//	chip 0x2d bytes
//	0x20 = 0xd0 0x3e     # as many bytes as there are, one register after the other
//
// The file is read anew at each transfer, so an editor discharges the battery. What a
// driver writes is kept in the file.
package registers

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrFile is what Parse finds.
var ErrFile = errors.New("no file of registers")

// A Chip is a register file with a pointer, as in most chips of UPS boards: a write sets
// the pointer by its first byte and the registers from there by the others; a read goes on
// from the pointer. The zero value has 256 registers of a byte, all 0.
type Chip struct {
	words bool
	mem   [512]byte
	named [512]bool // what Parse or a write set, and Format tells
	at    int       // the pointer, in bytes of mem
}

// Words returns a chip whose 256 registers are words of 16 bits, high byte first.
func Words() *Chip { return &Chip{words: true} }

// Bytes returns a chip whose 256 registers are bytes.
func Bytes() *Chip { return new(Chip) }

// width is the bytes of a register.
func (c *Chip) width() int {
	if c.words {
		return 2
	}
	return 1
}

func (c *Chip) size() int { return 256 * c.width() }

// Set sets the registers from reg on, each byte or word one value.
func (c *Chip) Set(reg byte, values ...uint16) {
	for i, v := range values {
		at := (int(reg)*c.width() + i*c.width()) % c.size()
		if c.words {
			c.mem[at], c.mem[at+1] = byte(v>>8), byte(v)
			c.named[at+1] = true
		} else {
			c.mem[at] = byte(v)
		}
		c.named[at] = true
	}
}

// Get returns a register.
func (c *Chip) Get(reg byte) uint16 {
	at := int(reg) * c.width()
	if c.words {
		return uint16(c.mem[at])<<8 | uint16(c.mem[at+1])
	}
	return uint16(c.mem[at])
}

// Tx does one transaction: the write first, then the read.
func (c *Chip) Tx(w, r []byte) {
	if len(w) > 0 {
		c.at = int(w[0]) * c.width()
		for _, b := range w[1:] {
			c.mem[c.at], c.named[c.at] = b, true
			c.at = (c.at + 1) % c.size()
		}
	}
	for i := range r {
		r[i] = c.mem[c.at]
		c.at = (c.at + 1) % c.size()
	}
}

const (
	fileMost  = 64 << 10 // bytes of a file
	chipsMost = 112      // addresses of a bus
)

// Parse reads a file of registers: the chips by their address.
func Parse(text []byte) (map[uint16]*Chip, error) {
	if len(text) > fileMost {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrFile, len(text), fileMost)
	}
	chips := map[uint16]*Chip{}
	var chip *Chip
	n := 0
	for line := range bytes.Lines(text) {
		n++
		words := fields(string(line))
		var err error
		switch {
		case len(words) == 0:
		case words[0] == "chip":
			chip, err = add(chips, words[1:])
		case chip == nil:
			err = errors.New("a register before the first chip; begin with a line as in: chip 0x36 words")
		default:
			err = chip.parse(words)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrFile, n, err)
		}
	}
	return chips, nil
}

// fields are the words of a line without its comment.
func fields(line string) []string {
	line, _, _ = strings.Cut(line, "#")
	return strings.Fields(line)
}

func add(chips map[uint16]*Chip, words []string) (*Chip, error) {
	if len(words) != 2 || words[1] != "words" && words[1] != "bytes" {
		return nil, fmt.Errorf("chip %.40q: give its address and words or bytes, as in: chip 0x36 words", words)
	}
	address, err := strconv.ParseUint(words[0], 0, 16)
	if err != nil || address < 0x08 || address > 0x77 {
		return nil, fmt.Errorf("%.40q is no address of a chip; give 0x08 to 0x77", words[0])
	}
	if chips[uint16(address)] != nil || len(chips) >= chipsMost {
		return nil, fmt.Errorf("a second chip at %#02x", address)
	}
	chip := &Chip{words: words[1] == "words"}
	chips[uint16(address)] = chip
	return chip, nil
}

// parse sets registers by the words of a line: 0x02 = 0xc300.
func (c *Chip) parse(words []string) error {
	if len(words) < 3 || words[1] != "=" {
		return fmt.Errorf("%.40q: give a register and its value, as in: 0x02 = 0xc300", words)
	}
	reg, err := strconv.ParseUint(words[0], 0, 8)
	if err != nil {
		return fmt.Errorf("%.40q is no register; give 0x00 to 0xff", words[0])
	}
	if int(reg)+len(words)-2 > 256 {
		return fmt.Errorf("%d registers from %#02x on are too many", len(words)-2, reg)
	}
	for i, word := range words[2:] {
		v, err := strconv.ParseUint(word, 0, 8*c.width())
		if err != nil {
			return fmt.Errorf("%.40q does not fit a register of %d bits", word, 8*c.width())
		}
		c.Set(byte(int(reg)+i), uint16(v))
	}
	return nil
}

// Format writes chips as Parse reads them. Comments are not kept.
func Format(chips map[uint16]*Chip) []byte {
	var b bytes.Buffer
	addresses := make([]uint16, 0, len(chips))
	for a := range chips {
		addresses = append(addresses, a)
	}
	slices.Sort(addresses)
	for _, a := range addresses {
		c := chips[a]
		kind := "bytes"
		if c.words {
			kind = "words"
		}
		fmt.Fprintf(&b, "chip %#02x %s\n", a, kind)
		for reg := range 256 {
			if c.named[reg*c.width()] || c.words && c.named[reg*2+1] {
				fmt.Fprintf(&b, "%#02x = %#0*x\n", reg, 2*c.width(), c.Get(byte(reg)))
			}
		}
	}
	return b.Bytes()
}
