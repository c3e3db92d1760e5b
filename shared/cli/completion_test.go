package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestCompletion(t *testing.T) {
	for shell, want := range map[string]string{"bash": "__start_tool", "zsh": "#compdef tool", "fish": "complete -c tool"} {
		var stdout, stderr bytes.Buffer
		if code := Main(sample(nil), []string{"completion", shell}, &stdout, &stderr); code != Done || !strings.Contains(stdout.String(), want) {
			t.Errorf("%s: code %d, %s, and no %q", shell, code, &stderr, want)
		}
	}
	for _, args := range [][]string{{"completion"}, {"completion", "csh"}, {"completion", "bash", "zsh"}} {
		var stdout, stderr bytes.Buffer
		if code := Main(sample(nil), args, &stdout, &stderr); code != Misused || stdout.Len() > 0 {
			t.Errorf("%v: code %d and %d bytes, want %d and none", args, code, stdout.Len(), Misused)
		}
	}
}

// TestNamesComplete: a shell gets the names that begin as typed, and none that does
// something to it.
func TestNamesComplete(t *testing.T) {
	ask := func(words ...string) string {
		root := sample(nil)
		list, _, err := root.Find([]string{"list"})
		if err != nil {
			t.Fatal(err)
		}
		Complete(list, func(_ *cobra.Command, args []string) []string {
			if len(args) > 0 {
				return nil
			}
			return []string{"pi-1", "pi-2", "kitchen", "pi$(reboot)", "pi-\x1b[2J", "pi 3"}
		})
		CompleteFlag(list, "limit", func(*cobra.Command) []string { return []string{"10", "100"} })
		var stdout, stderr bytes.Buffer
		Main(root, append([]string{cobra.ShellCompNoDescRequestCmd}, words...), &stdout, &stderr)
		return stdout.String()
	}
	for want, words := range map[string][]string{
		"pi-1\npi-2\n:4\n": {"list", "pi"},
		":4\n":             {"list", "pi-1", ""},
		"100\n:4\n":        {"list", "--limit", "100"},
	} {
		if got := ask(words...); got != want {
			t.Errorf("%q completes to %q, want %q", words, got, want)
		}
	}
}
