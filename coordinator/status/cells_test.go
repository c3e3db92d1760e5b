package status

import (
	"html/template"
	"strings"
	"testing"
)

// FuzzRow holds a row that is written by hand to what a template makes of such text:
// whatever a node says, the row has the same tags.
func FuzzRow(f *testing.F) {
	for _, s := range []string{"pi-1", `<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`, "a/../b?c#d", "\x00\xff", "javascript:alert(1)", "&lt;b&gt;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		said := func(s string) string {
			n := agent(s)
			n.State, n.Version, n.Reasons, n.Ready, n.Throttled = "pending", s, []string{s}, false, []string{s}
			n.Models[0].Name = s
			r := Row{NodeBody: n, now: noon, Operate: true}
			return r.html()
		}
		row := said(s)
		if got, want := tags(row), tags(said("pi-1")); s != "" && got != want {
			t.Errorf("%q makes the tags %s, want %s", s, got, want)
		}
		if escaped := template.HTMLEscapeString(s); !strings.Contains(row, ">"+escaped+"</a>") {
			t.Errorf("%q is not in the row as text: %s", s, row)
		}
	})
}

// tags are the tags of a text with the names of their attributes, by a simple reader:
// it knows quotes.
func tags(html string) string {
	var b strings.Builder
	inTag, inQuote := false, false
	for _, c := range html {
		switch {
		case inTag && c == '"':
			inQuote = !inQuote
		case inQuote:
			continue
		case c == '<':
			inTag = true
		}
		if inTag {
			b.WriteRune(c)
		}
		if c == '>' {
			inTag = false
		}
	}
	return b.String()
}
