package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":          "plain",
		"Žižkov 日本":      "Žižkov 日本",
		"\x1b[2J":        `\x1b[2J`,
		"a\nb\tc\x00":    `a\nb\tc\x00`,
		"\u202egnp.exe":  `\u202egnp.exe`,
		"\u0085":         `\u0085`,
		"\xff\xfe":       `\xff\xfe`,
		"real \ufffd":    "real \ufffd",
		"line\u2028line": `line\u2028line`,
	} {
		if got := Text(in); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b[2J\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := Text(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestTable(t *testing.T) {
	rows := [][]any{{"pi-1", Good("alive"), 12}, {"node\x1b[2J", Bad("dead"), "a long reason that goes on"}}
	for name, test := range map[string]struct {
		out  Out
		want string
	}{
		"pipe": {Out{}, "NODE         STATE  WHY\npi-1         alive  12\nnode\\x1b[2J  dead   a long reason that goes on\n"},
		"narrow": {Out{width: 30}, "NODE         STATE  WHY\npi-1         alive  12\n" +
			"node\\x1b[2J  dead   a long\n" + strings.Repeat(" ", 20) + "reason\n" + strings.Repeat(" ", 20) + "that goes\n" + strings.Repeat(" ", 20) + "on\n"},
		"tiny": {Out{width: 21}, "NODE    STATE  WHY\npi-1    alive  12\nnode\\…  dead   a long\n" +
			strings.Repeat(" ", 15) + "reason\n" + strings.Repeat(" ", 15) + "that\n" + strings.Repeat(" ", 15) + "goes\n" + strings.Repeat(" ", 15) + "on\n"},
		"colour": {Out{colour: true}, "\x1b[2mNODE\x1b[0m         \x1b[2mSTATE\x1b[0m  \x1b[2mWHY\x1b[0m\npi-1         \x1b[32malive\x1b[0m  12\n" +
			"node\\x1b[2J  \x1b[31mdead\x1b[0m   a long reason that goes on\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			test.out.w = &b
			test.out.Table([]string{"NODE", "STATE", "WHY"}, rows)
			if b.String() != test.want {
				t.Errorf("got\n%swant\n%s", &b, test.want)
			}
			for line := range strings.Lines(b.String()) {
				if test.out.width > 0 && length(line)-1 > test.out.width {
					t.Errorf("%q is wider than %d", line, test.out.width)
				}
			}
		})
	}
}

func TestTableWithoutHead(t *testing.T) {
	var b bytes.Buffer
	(&Out{w: &b}).Table([]string{"", ""}, [][]any{{"mode", "normal"}, {"version", 1}})
	if want := "mode     normal\nversion  1\n"; b.String() != want {
		t.Errorf("got %q, want %q", &b, want)
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quick, slow bytes.Buffer
		stop := progress(&quick, func() string { return "asking" })
		time.Sleep(900 * time.Millisecond)
		stop()
		if quick.Len() > 0 {
			t.Errorf("under a second it wrote %q", &quick)
		}
		asked := 0
		stop = progress(&slow, func() string { asked++; return fmt.Sprint("asking ", asked) })
		time.Sleep(2500 * time.Millisecond)
		stop()
		stop() // twice does no harm
		if want := "\r\x1b[Kasking 1 … 1 s\r\x1b[Kasking 2 … 2 s\r\x1b[K"; slow.String() != want {
			t.Errorf("wrote %q, want %q", &slow, want)
		}
	})
}
