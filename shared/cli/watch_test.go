package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
)

// watched runs a command with --watch for a time in which it is called some seven times,
// and fails as faults says.
func watched(t *testing.T, args []string, faults map[int]error) (stdout, stderr string, code int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 13*time.Second)
		defer cancel()
		asked := 0
		cmd := &cobra.Command{
			Use: "look", RunE: func(cmd *cobra.Command, _ []string) error {
				return Again(cmd, func(err error) bool { return err.Error() == "away" }, func(out *Out) error {
					asked++
					if err := faults[asked]; err != nil {
						return err
					}
					return out.Data(map[string]int{"asked": asked}, func() { out.Line("asked %d", asked) })
				})
			},
		}
		JSON(cmd)
		Watch(cmd)
		root := Root("tool", "A tool", "A tool.")
		root.AddCommand(cmd)
		prepare(root)
		var o, e bytes.Buffer
		root.SetOut(&o)
		root.SetErr(&e)
		root.SetArgs(append([]string{"look"}, args...))
		err := root.ExecuteContext(ctx)
		if err != nil {
			code = exitCode(err)
			e.WriteString(describe("tool", err))
		}
		stdout, stderr = o.String(), e.String()
	})
	return stdout, stderr, code
}

func TestAgain(t *testing.T) {
	away, wrong := errors.New("away"), errors.New("wrong")
	for name, test := range map[string]struct {
		args         []string
		faults       map[int]error
		want, errors string
		code         int
	}{
		"once":                   {nil, nil, "asked 1\n", "", Done},
		"each two seconds":       {[]string{"--watch"}, nil, "asked 1\n\nasked 2\n\nasked 3\n\nasked 4\n\nasked 5\n\nasked 6\n\nasked 7\n", "", Done},
		"each six":               {[]string{"--watch=6s"}, nil, "asked 1\n\nasked 2\n\nasked 3\n", "", Done},
		"rows of JSON":           {[]string{"--watch=6s", "--json"}, nil, "{\"asked\":1}\n{\"asked\":2}\n{\"asked\":3}\n", "", Done},
		"a fault that passes":    {[]string{"--watch"}, map[int]error{3: away, 4: away, 6: away}, "asked 1\n\nasked 2\n\nasked 5\n\nasked 7\n", "tool: away\ntool: away\n", Done},
		"one that does not":      {[]string{"--watch"}, map[int]error{3: wrong}, "asked 1\n\nasked 2\n", "tool: wrong\n", Failed},
		"a fault from the start": {[]string{"--watch"}, map[int]error{1: away}, "", "tool: away\n", Failed},
		"too often":              {[]string{"--watch=10ms"}, nil, "", "tool: --watch is 10ms; give 500ms to 1h0m0s, as in --watch=5s. See tool look --help.\n", Misused},
		"never":                  {[]string{"--watch=0s"}, nil, "", "tool: --watch is 0s; give 500ms to 1h0m0s, as in --watch=5s. See tool look --help.\n", Misused},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := watched(t, test.args, test.faults)
			if stdout != test.want || stderr != test.errors || code != test.code {
				t.Errorf("got %q, %q and %d; want %q, %q and %d", stdout, stderr, code, test.want, test.errors, test.code)
			}
		})
	}
}

// TestScene draws on a terminal of eight lines of 20 columns.
func TestScene(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	out := &Out{width: 20}
	draw := func(s *scene) string {
		var b bytes.Buffer
		if err := s.draw(&b, out, "tool, each 2s", 8); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var s scene
	s.shows("one\ntwo\n", noon)
	if got, want := draw(&s), "\x1b[2J\x1b[Htool, each 2s, 12:00:00\x1b[K\n\x1b[K\none\x1b[K\ntwo\x1b[K\n\x1b[J"; got != want {
		t.Errorf("first %q, want %q", got, want)
	}
	s.shows("three\n", noon.Add(2*time.Second))
	if got, want := draw(&s), "\x1b[Htool, each 2s, 12:00:02\x1b[K\n\x1b[K\nthree\x1b[K\n\x1b[J"; got != want {
		t.Errorf("then %q, want %q", got, want)
	}
	s.failed("tool: nobody answers\n")
	if got := draw(&s); !strings.Contains(got, "This is of 12:00:02; there is nothing newer.") || !strings.Contains(got, "nobody answers") || !strings.Contains(got, "three") {
		t.Errorf("with a fault it shows %q", got)
	}
	var long strings.Builder
	for i := range 40 {
		fmt.Fprintf(&long, "line %d\n", i)
	}
	s.shows(long.String(), noon)
	got := draw(&s)
	if n := strings.Count(got, "\n"); n != 6 || // the first of them takes two
		!strings.Contains(got, "line 2\x1b[K\n… and 37 more lines\x1b[K\n") {
		t.Errorf("of many lines it shows %d: %q", n, got)
	}
}
