// Package logs makes the daemons' log: structured lines on a writer, JSON for
// machines or text for people.
//
// It promises that a line is one line: control characters and invisible ones
// that could fool a terminal or a reader (escape sequences, text that runs
// backwards) come out as \u escapes in both forms. It keeps the same message of
// the same part from filling the disk, and says how many it left out. What is
// a Secret is never printed.
package logs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// A Format is how lines look.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "text"
)

// UnmarshalText takes the name of a format.
func (f *Format) UnmarshalText(b []byte) error {
	switch Format(b) {
	case JSON, Text:
		*f = Format(b)
		return nil
	}
	return fmt.Errorf("log format %q: give json or text", b)
}

// PartKey is the attribute that names the part a line is from. Repetition is
// counted for each part by itself.
const PartKey = "part"

// Options say what a log looks like. The zero value is JSON from info on.
type Options struct {
	Format Format
	Level  slog.Leveler
}

// New returns a logger that writes to w, one Write for each line, times in UTC.
// A line that cannot be written is lost: there is nowhere to say so.
func New(w io.Writer, o Options) *slog.Logger {
	handler := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: utc}
	clean := printable{w}
	if o.Format == Text {
		return slog.New(limit(slog.NewTextHandler(clean, handler)))
	}
	return slog.New(limit(slog.NewJSONHandler(clean, handler)))
}

func utc(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
		a.Value = slog.TimeValue(a.Value.Time().UTC().Truncate(time.Millisecond))
	}
	return a
}

// printable escapes what slog's handlers let through: DEL, the C1 controls and
// the format characters of Unicode. They write a whole line at a time, and such
// characters only stand within quotes or words, where an escape is harmless.
type printable struct{ w io.Writer }

func (p printable) Write(line []byte) (int, error) {
	body := bytes.TrimSuffix(line, []byte("\n"))
	if !bytes.ContainsFunc(body, hidden) {
		return p.w.Write(line)
	}
	out := make([]byte, 0, len(line)+32)
	for len(body) > 0 {
		r, size := utf8.DecodeRune(body)
		if hidden(r) {
			out = appendEscape(out, r)
		} else {
			out = append(out, body[:size]...)
		}
		body = body[size:]
	}
	if _, err := p.w.Write(append(out, '\n')); err != nil {
		return 0, err
	}
	return len(line), nil
}

func hidden(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

// appendEscape writes r as JSON does: \u and four digits, twice beyond 16 bits.
func appendEscape(out []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
