package envelope

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func made(t testing.TB, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, Header{Cluster: "home", At: noon, Index: 7, Checksum: "abc", Version: "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	for _, body := range []string{"", "x", "two\nlines\n", strings.Repeat("long ", 10_000)} {
		h, r, err := Open(bytes.NewReader(made(t, body)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != body {
			t.Errorf("a body of %d bytes comes back with %d, %v", len(body), len(got), err)
		}
		if want := (Header{Format, "home", noon, 7, "abc", "1.0"}); h != want {
			t.Errorf("header %+v, want %+v", h, want)
		}
	}
}

// TestTheFormatStays: files that were written must be read for ever.
func TestTheFormatStays(t *testing.T) {
	const want = `{"prime_spark_backup":1,"cluster":"home","at":"2026-03-01T12:00:00Z","index":7,"state_checksum":"abc","version":"1.0"}
body
sha256 a77af33d233b9faf13199a939443347772f248325f8208395e1837158ae9f630
`
	if got := string(made(t, "body")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestEveryDamageIsFound(t *testing.T) {
	good := made(t, "the body")
	for i := range good {
		for _, bit := range []byte{0x01, 0x80} {
			b := bytes.Clone(good)
			b[i] ^= bit
			if _, _, err := Open(bytes.NewReader(b)); !errors.Is(err, ErrDamaged) {
				t.Fatalf("byte %d changed: %v, want ErrDamaged", i, err)
			}
		}
		if _, _, err := Open(bytes.NewReader(good[:i])); !errors.Is(err, ErrDamaged) {
			t.Fatalf("cut off after %d bytes: %v, want ErrDamaged", i, err)
		}
	}
	if _, _, err := Open(bytes.NewReader(append(bytes.Clone(good), 'x'))); !errors.Is(err, ErrDamaged) {
		t.Errorf("a byte too many: %v, want ErrDamaged", err)
	}
}

func TestParse(t *testing.T) {
	for line, want := range map[string]error{
		`{"prime_spark_backup":1,"cluster":"home","later":true}`: nil,
		`{"prime_spark_backup":2,"cluster":"home"}`:              ErrFormat,
		`{"cluster":"home"}`:                                     ErrDamaged,
		`not JSON`:                                               ErrDamaged,
	} {
		if _, err := parse([]byte(line + "\n")); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", line, err, want)
		}
	}
}

func TestAHeaderHasItsBound(t *testing.T) {
	if _, err := NewWriter(io.Discard, Header{Cluster: strings.Repeat("x", maxHeader)}); err == nil {
		t.Error("a header is written that cannot be read")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(made(f, "body"))
	f.Add([]byte("{}\n\nsha256 "))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, r, err := Open(bytes.NewReader(data))
		if err != nil {
			return
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := NewWriter(&b, h)
		if err != nil {
			t.Skip() // a header that JSON writes longer than it was
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if again, _, err := Open(bytes.NewReader(b.Bytes())); err != nil || !again.At.Equal(h.At) || again.Index != h.Index {
			t.Errorf("%+v is read as %+v, %v", h, again, err)
		}
	})
}
