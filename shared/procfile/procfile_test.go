package procfile_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"primespark/shared/procfile"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReadAgain has one file that stays open say something else each time, of any length.
func TestReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	f := procfile.New(path)
	defer f.Close()
	if _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not there: %v", err)
	}
	for _, n := range []int{1, 4095, 4096, 4097, 100_000, 0, 7} {
		write(t, path, strings.Repeat("x", n))
		text, err := f.Read()
		if err != nil || len(text) != n || len(bytes.Trim(text, "x")) > 0 {
			t.Errorf("of %d bytes %d were read: %v", n, len(text), err)
		}
	}
	write(t, path, strings.Repeat("x", 4<<20))
	if _, err := f.Read(); !errors.Is(err, procfile.ErrLong) {
		t.Errorf("4 MiB: %v", err)
	}
	write(t, path, "short")
	if text, err := f.Read(); err != nil || string(text) != "short" {
		t.Errorf("after a failure %q: %v", text, err)
	}
}

// TestStaysOpen reads a file whose name is another's by now; and the other one, once it
// was closed.
func TestStaysOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stat")
	write(t, path, "first")
	f := procfile.New(path)
	if _, err := f.Read(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path, "second")
	for _, want := range []string{"first", "second"} {
		if text, err := f.Read(); err != nil || string(text) != want {
			t.Errorf("%q instead of %q: %v", text, want, err)
		}
		f.Close()
	}
}

// TestReadTakesNoMemory reads a real file of the kernel's as often as a busy agent does.
func TestReadTakesNoMemory(t *testing.T) {
	f := procfile.New("/proc/stat")
	defer f.Close()
	if n := testing.AllocsPerRun(10, func() {
		text, err := f.Read()
		if word, _ := procfile.Word(text); err != nil || string(word) != "cpu" {
			t.Errorf("%q: %v", text, err)
		}
	}); n > 0 {
		t.Errorf("%v pieces of memory for each reading", n)
	}
}

func ExampleKeyed() {
	for key, rest := range procfile.Keyed([]byte("MemTotal:  8 kB\nno key\n eth0:1: 5 6 7\n")) {
		var n [2]uint64
		found, err := procfile.Numbers(rest, n[:])
		fmt.Printf("%s %v, %d found, %v\n", key, n, found, err)
	}
	// Output:
	// MemTotal [8 0], 1 found, number 2: strconv.ParseUint: parsing "kB": invalid syntax
	// eth0:1 [5 6], 2 found, <nil>
}

// TestAnswersHold looks twice a minute at most.
func TestAnswersHold(t *testing.T) {
	var a procfile.Answers
	looked := 0
	look := func(name string) bool { looked++; return name == "eth0" }
	at := time.Now()
	for _, step := range []struct {
		in     time.Duration
		name   string
		is     bool
		looked int
	}{
		{0, "eth0", true, 1},
		{0, "em0", false, 2},
		{29 * time.Second, "eth0", true, 2},
		{30 * time.Second, "eth0", true, 3},
		{59 * time.Second, "eth0", true, 3},
	} {
		if is := a.Ask(at.Add(step.in), []byte(step.name), look); is != step.is || looked != step.looked {
			t.Errorf("%s after %v: %v, looked %d times, want %v and %d", step.name, step.in, is, looked, step.is, step.looked)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add([]byte("cpu  1 2 3\n"))
	f.Add([]byte("eth0: 18446744073709551616 -1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for key, rest := range procfile.Keyed(text) {
			var n [3]uint64
			if found, err := procfile.Numbers(rest, n[:]); found > len(n) || bytes.ContainsRune(key, '\n') || err == nil && found < len(n) && n[found] != 0 {
				t.Errorf("%d of %q, key %q", found, rest, key)
			}
		}
		for word, rest := procfile.Word(text); len(word) > 0; word, rest = procfile.Word(rest) {
			if bytes.ContainsAny(word, " \t\n") {
				t.Errorf("word %q", word)
			}
		}
	})
}
