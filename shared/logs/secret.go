package logs

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// A Secret is a text that no log, error or JSON shows: whatever prints it prints
// "[redacted]", or nothing if it is empty. Reveal gives the text itself.
type Secret string

// Reveal returns the secret. Each use of it is a place to look at twice.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// LogValue is for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is for encoders of JSON and YAML. Reading one needs no method.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Format is for package fmt, whose %x and %#v would go round String.
func (s Secret) Format(f fmt.State, _ rune) {
	// A printer that cannot write says so to the one who uses it.
	_, _ = io.WriteString(f, s.String())
}
