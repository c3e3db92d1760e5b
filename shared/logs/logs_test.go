package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"primespark/shared/goldentest"
	"primespark/shared/logs"
)

// story writes one of everything that a line can hold.
func story(log *slog.Logger) {
	log.Debug("nobody sees this")
	log.Info("joined", "node", "pi-1", "members", 3, "took_seconds", 0.25)
	log = log.With(logs.PartKey, "battery monitor")
	log.Warn("battery unreadable, running as if full", "err", errors.New("read i2c-1 0x36: remote I/O error"),
		"remedy", "enable I²C; reseat the UPS board")
	log.Error("hostile", "name", "a\x1b[31mred\x7f\u0085\u202egnp.exe\u2066 \r\nlevel=INFO msg=forged", "bytes", []byte("\x00\x9b\xff"))
	log.Error("hostile\x1b[2J\x7f", "k\ney", "v\U000e0041")
	log.WithGroup("mqtt").Info("connected", "password", logs.Secret("hunter2"), "user", "pi-1")
}

func TestLines(t *testing.T) {
	for _, format := range []logs.Format{logs.JSON, logs.Text} {
		synctest.Test(t, func(t *testing.T) { // where it is always midnight of 2000-01-01
			var got bytes.Buffer
			story(logs.New(&got, logs.Options{Format: format}))
			goldentest.Compare(t, "story."+string(format), got.Bytes())
			for line := range strings.Lines(got.String()) {
				if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), invisible); i >= 0 {
					t.Errorf("%s: raw control character %q in %q", format, line[i], line)
				}
				if format == logs.JSON && !json.Valid([]byte(line)) {
					t.Errorf("not JSON: %s", line)
				}
			}
			if n := strings.Count(got.String(), "\n"); n != 5 {
				t.Errorf("%s: %d lines of 5 messages", format, n)
			}
		})
	}
}

func invisible(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }

func TestRepetitionIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got bytes.Buffer
		log := logs.New(&got, logs.Options{})
		a, b := log.With(logs.PartKey, "a"), log.With(logs.PartKey, "b")
		for i := range 100 {
			a.Warn("again", "i", i)
		}
		b.Warn("again")
		a.Info("again")
		if n := strings.Count(got.String(), "\n"); n != 22 {
			t.Fatalf("%d lines of 102 messages, want 20 of the first part and 2 others", n)
		}
		got.Reset()
		time.Sleep(10 * time.Second)
		a.With("x", 1).WithGroup("g").Warn("again")
		if !strings.Contains(got.String(), `"suppressed":80`) {
			t.Errorf("the next one is %s want it to count 80 suppressed", got.String())
		}
		got.Reset()
		a.Warn("again")
		if strings.Contains(got.String(), "suppressed") {
			t.Errorf("counted twice: %s", got.String())
		}
	})
}

func TestMessagesThatVaryAreBounded(t *testing.T) {
	var got bytes.Buffer
	log := logs.New(&got, logs.Options{Level: slog.LevelDebug})
	for i := range 5000 {
		log.Debug(fmt.Sprint("message ", i))
	}
	if n := strings.Count(got.String(), "\n"); n != 5000 {
		t.Errorf("%d lines of 5000 different messages", n)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const plain = "hunter2"
	s := logs.Secret(plain)
	config := struct{ Password logs.Secret }{s}
	for _, f := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s"} {
		for _, v := range []any{s, &s, config, []logs.Secret{s}, map[string]logs.Secret{"p": s}} {
			if got := fmt.Sprintf(f, v); strings.Contains(got, plain) || strings.Contains(strings.ToLower(got), "68756e746572") {
				t.Errorf("%s of %T shows it: %s", f, v, got)
			}
		}
	}
	if got, err := json.Marshal(config); string(got) != `{"Password":"[redacted]"}` || err != nil {
		t.Errorf("JSON %s, %v", got, err)
	}
	if got := fmt.Sprint(logs.Secret("")); got != "" {
		t.Errorf("an empty one prints %q, want to see that it is empty", got)
	}
	if err := json.Unmarshal([]byte(`{"Password":"x"}`), &config); err != nil || config.Password.Reveal() != "x" {
		t.Errorf("read %q, %v", config.Password.Reveal(), err)
	}
}

func TestFormatName(t *testing.T) {
	var f logs.Format
	if err := f.UnmarshalText([]byte("text")); err != nil || f != logs.Text {
		t.Errorf("text: %q, %v", f, err)
	}
	if err := f.UnmarshalText([]byte("xml")); err == nil || !strings.Contains(err.Error(), "json or text") {
		t.Errorf("xml: %v, want the formats that are known", err)
	}
}

func ExampleNew() {
	log := logs.New(os.Stdout, logs.Options{Format: logs.Text, Level: slog.LevelWarn})
	log.Info("not shown at this level")
	// Output:
}

func ExampleSecret() {
	token := logs.Secret("s3cr3t")
	fmt.Println(token, len(token.Reveal()))
	// Output: [redacted] 6
}
