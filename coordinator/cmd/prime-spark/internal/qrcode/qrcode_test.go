package qrcode

import (
	"bytes"
	"image/png"
	"strings"
	"testing"
)

func TestCode(t *testing.T) {
	c, err := New("[Interface]\nPrivateKey = x\n")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(c.Terminal(), "\n"), "\n")
	if want := (c.code.Size + 2*quiet + 1) / 2; len(lines) != want {
		t.Errorf("%d lines, want %d", len(lines), want)
	}
	for i, l := range lines {
		if n := len([]rune(l)); n != c.code.Size+2*quiet {
			t.Errorf("line %d has %d characters", i, n)
		}
	}
	// The finder pattern in the upper left corner: seven black modules in a row.
	if got := string([]rune(lines[2])[:quiet+8]); got != "████ ▄▄▄▄▄ █" {
		t.Errorf("the third line begins with %q", got)
	}
	img, err := png.Decode(bytes.NewReader(c.PNG()))
	if err != nil || img.Bounds().Dx() != 8*(c.code.Size+2*quiet) {
		t.Errorf("PNG: %v, %v", img.Bounds(), err)
	}
	svg := string(c.SVG())
	if !strings.HasPrefix(svg, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 `) || !strings.Contains(svg, "M4 4h7v1H4z") {
		t.Error(svg[:200])
	}
	if _, err := New(strings.Repeat("x", 3000)); err == nil {
		t.Error("3000 bytes fit")
	}
}
