// Package qrcode draws a text as a QR code: for a terminal, as PNG and as SVG.
package qrcode

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quiet is the white border that a camera wants, in modules (ISO 18004 asks for 4).
const quiet = 4

// A Code is a text as black and white squares.
type Code struct{ code *qr.Code }

// New encodes a text; some 2,900 bytes are the most that fit.
func New(text string) (Code, error) {
	c, err := qr.Encode(text, qr.L) // a screen is clean: the smallest code is the best to read
	if err != nil {
		return Code{}, fmt.Errorf("make a QR code of %d bytes: %w", len(text), err)
	}
	return Code{c}, nil
}

// Terminal is the code in half blocks, for a terminal with light text on a dark
// ground; cameras read it on a light one, too.
func (c Code) Terminal() string {
	const both, upper, lower, none = "█", "▀", "▄", " " // of white
	var b strings.Builder
	white := func(x, y int) bool { return !c.code.Black(x, y) }
	for y := -quiet; y < c.code.Size+quiet; y += 2 {
		for x := -quiet; x < c.code.Size+quiet; x++ {
			switch top, bottom := white(x, y), white(x, y+1) && y+1 < c.code.Size+quiet; {
			case top && bottom:
				b.WriteString(both)
			case top:
				b.WriteString(upper)
			case bottom:
				b.WriteString(lower)
			default:
				b.WriteString(none)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// PNG is the code as an image of eight pixels a module.
func (c Code) PNG() []byte { return c.code.PNG() }

// SVG is the code as a drawing that a browser shows at any size.
func (c Code) SVG() []byte {
	var b strings.Builder
	n := c.code.Size + 2*quiet
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" shape-rendering="crispEdges"><rect width="%d" height="%d" fill="#fff"/><path d="`, n, n, n, n)
	for y := range c.code.Size {
		for x := 0; x < c.code.Size; x++ {
			first := x
			for x < c.code.Size && c.code.Black(x, y) {
				x++
			}
			if x > first {
				fmt.Fprintf(&b, "M%d %dh%dv1H%dz", first+quiet, y+quiet, x-first, first+quiet)
			}
		}
	}
	b.WriteString("\"/></svg>\n")
	return []byte(b.String())
}
