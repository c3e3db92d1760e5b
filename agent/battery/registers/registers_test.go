package registers_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"primespark/agent/battery/registers"
)

const board = `# a board
chip 0x36 words
0x02 = 0xc300   # 3.9 V
0x04 = 0x5780 0x1
chip 45 bytes
0x20 = 0xd0 0x3e
`

func TestParse(t *testing.T) {
	chips, err := registers.Parse([]byte(board))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	chips[0x36].Tx([]byte{0x04}, got)
	if !bytes.Equal(got, []byte{0x57, 0x80, 0x00, 0x01}) {
		t.Errorf("words %x, want the high byte first and the next register after it", got)
	}
	chips[0x2d].Tx([]byte{0x20}, got[:3])
	if !bytes.Equal(got[:3], []byte{0xd0, 0x3e, 0}) {
		t.Errorf("bytes %x", got[:3])
	}
	chips[0x2d].Tx([]byte{0x01, 0x55}, nil)
	chips[0x2d].Tx([]byte{0x01}, got[:1])
	if got[0] != 0x55 || chips[0x2d].Get(1) != 0x55 {
		t.Errorf("what was written reads %x", got[0])
	}
	again := registers.Format(chips)
	want := "chip 0x2d bytes\n0x01 = 0x55\n0x20 = 0xd0\n0x21 = 0x3e\nchip 0x36 words\n0x02 = 0xc300\n0x04 = 0x5780\n0x05 = 0x0001\n"
	if string(again) != want {
		t.Errorf("formatted:\n%s\nwant:\n%s", again, want)
	}
}

func TestParseRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"0x02 = 1":                              "before the first chip",
		"chip 0x36":                             "chip 0x36 words",
		"chip 0x36 longs":                       "words or bytes",
		"chip 0x03 bytes":                       "0x08 to 0x77",
		"chip x bytes":                          "0x08 to 0x77",
		"chip 0x36 bytes\nchip 0x36 words":      "a second chip",
		"chip 0x36 bytes\n0x02":                 "line 2",
		"chip 0x36 bytes\n0x100 = 1":            "no register",
		"chip 0x36 bytes\n0x02 = 0x100":         "8 bits",
		"chip 0x36 words\n0x02 = 0x10000":       "16 bits",
		"chip 0x36 bytes\n0xff = 1 2":           "too many",
		strings.Repeat("# much\n", 10_000):      "more than",
		"chip 0x36 words\n0x02 = 0xc300 volts ": `"volts"`,
	} {
		_, err := registers.Parse([]byte(text))
		if !errors.Is(err, registers.ErrFile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want a word on %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(board))
	f.Fuzz(func(t *testing.T, text []byte) {
		chips, err := registers.Parse(text)
		if err != nil {
			return
		}
		again, err := registers.Parse(registers.Format(chips))
		if err != nil || !bytes.Equal(registers.Format(again), registers.Format(chips)) {
			t.Errorf("what was read of %q does not read the same again: %v", text, err)
		}
	})
}
