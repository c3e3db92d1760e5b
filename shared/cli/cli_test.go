package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"primespark/shared/problem"
)

// sample is a program with a group, a command with a flag, and one that fails
// with err.
func sample(err error) *cobra.Command {
	root := Root("tool", "A tool", "A tool for tests.")
	root.PersistentFlags().String("server", "", "where")
	list := &cobra.Command{
		Use: "list NAME", Short: "List", Example: "  tool list x", Args: Words("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := Output(cmd)
			return out.Data(args, func() { out.Line("%s", args[0]) })
		},
	}
	JSON(list)
	list.Flags().Int("limit", 1, "how many")
	root.AddCommand(list,
		Group("code", "Codes", &cobra.Command{
			Use: "create", Short: "Create", Example: "  tool code create", Args: Words(),
			RunE: func(*cobra.Command, []string) error { return err },
		}))
	return root
}

func TestMainProgram(t *testing.T) {
	corrupt := Exit(Corrupt, problem.New(problem.Unexpected, "Run tool reset.", "The log is damaged."))
	for name, test := range map[string]struct {
		args   string
		err    error
		code   int
		stdout string // part of it
		stderr string
	}{
		"works":              {"list a", nil, Done, "a\n", ""},
		"json":               {"list a --json", nil, Done, "[\n  \"a\"\n]\n", ""},
		"control characters": {"list a\x1b[2J", nil, Done, `a\x1b[2J`, ""},
		"version":            {"version", nil, Done, "tool dev", ""},
		"version json":       {"version --json", nil, Done, `"version": "dev"`, ""},
		"help":               {"", nil, Done, "Available Commands", ""},
		"help flag":          {"code --help", nil, Done, "tool code create", ""},
		"help command":       {"help code create", nil, Done, "tool code create [flags]", ""},
		"help of nothing":    {"help liist", nil, Misused, "", `Did you mean "list"?`},
		"group alone":        {"code", nil, Done, "Available Commands", ""},
		"slip":               {"lits", nil, Misused, "", `tool has no command "lits". Did you mean "list"? There are: code, completion, help, list, version.`},
		"nothing near":       {"frobnicate", nil, Misused, "", `tool has no command "frobnicate". There are: code`},
		"slip in a group":    {"code craete", nil, Misused, "", `tool code has no command "craete". Did you mean "create"?`},
		"slip with flags":    {"--server x lits --jsno", nil, Misused, "", `Did you mean "list"?`},
		"hostile slip":       {"\x1b[2J", nil, Misused, "", `has no command "\x1b[2J"`},
		"slip of a flag":     {"list a --limt 3", nil, Misused, "", "There is no flag --limt. Did you mean --limit? See tool list --help."},
		"unknown flag":       {"list a --frobnicate", nil, Misused, "", "There is no flag --frobnicate."},
		"unknown short flag": {"list a -x", nil, Misused, "", "There is no flag -x."},
		"flag of the root":   {"--frobnicate", nil, Misused, "", "There is no flag --frobnicate."},
		"bad flag value":     {"list a --limit x", nil, Misused, "", "Invalid argument \"x\" for \"--limit\""},
		"missing word":       {"list", nil, Misused, "", "NAME is missing. See tool list --help."},
		"too many words":     {"list a b", nil, Misused, "", `"b" is one argument too many.`},
		"plain error":        {"code create", errors.New("disk\x1b full"), Failed, "", "tool: disk\\x1b full\n"},
		"not found":          {"code create", problem.New(problem.NotFound, "Look.", "No node x."), NotFound, "", "tool: No node x. Look.\n"},
		"no quorum":          {"code create", problem.New(problem.NoQuorum, "Wait.", "No quorum."), Unreachable, "", "tool: No quorum. Wait.\n"},
		"unreachable":        {"code create", &problem.Error{Code: problem.Unreachable, Detail: "Silence.", Err: errors.New("refused")}, Unreachable, "", "tool: Silence.\n  cause: refused\n"},
		"wrapped":            {"code create", fmt.Errorf("x: %w", problem.New(problem.NotFound, "", "None.")), NotFound, "", "tool: None.\n"},
		"corrupt":            {"code create", corrupt, Corrupt, "", "tool: The log is damaged. Run tool reset.\n"},
		"interrupted":        {"code create", context.Canceled, Failed, "", "tool: Stopped.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := Main(sample(test.err), strings.Fields(test.args), &stdout, &stderr)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(stdout.String(), test.stdout) || test.stdout == "" && stdout.Len() > 0 {
				t.Errorf("stdout %q, want %q in it", &stdout, test.stdout)
			}
			if !strings.Contains(stderr.String(), test.stderr) || test.stderr == "" && stderr.Len() > 0 {
				t.Errorf("stderr %q, want %q in it", &stderr, test.stderr)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	if got := Faults(sample(nil)); len(got) != 0 {
		t.Errorf("%q, want none", got)
	}
	bare := Root("tool", "A tool", "")
	bare.AddCommand(&cobra.Command{Use: "bare", Run: func(*cobra.Command, []string) {}})
	if got := Faults(bare); len(got) != 2 {
		t.Errorf("%q, want two faults of tool bare", got)
	}
}

func TestReadSecret(t *testing.T) {
	for name, test := range map[string]struct{ in, want, fault string }{
		"plain":    {"s3cret\n", "s3cret", ""},
		"empty":    {" \n", "", "The token is empty."},
		"too long": {strings.Repeat("x", maxSecret+1), "", "longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := &cobra.Command{Use: "tool"}
			cmd.SetIn(strings.NewReader(test.in))
			got, err := ReadSecret(cmd, "-", "token")
			if got != test.want || (err == nil) != (test.fault == "") || err != nil && !strings.Contains(err.Error(), test.fault) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	_, err := ReadSecret(&cobra.Command{Use: "tool"}, t.TempDir()+"/none", "token")
	if exitCode(err) != Misused || !strings.Contains(err.Error(), "There is no file") {
		t.Errorf("a missing file: %v", err)
	}
}
