package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// manCommand makes the manual page of the whole program, for packages. It is
// hidden: people read the page with man.
func manCommand(root *cobra.Command) *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use: "man", Short: "Print the manual page, in roff", Hidden: true, Args: Words(),
		Example: "  " + root.Name() + " man --date 2026-11-23 | man -l -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			at, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return Misuse(cmd, "%.20q is no date; it looks like 2026-11-23.", date)
			}
			return Man(cmd.OutOrStdout(), root, at)
		},
	}
	cmd.Flags().StringVar(&date, "date", "1970-01-01", "`day` that the page says it is of, so that builds are reproducible")
	return cmd
}

// Man writes the manual page of a program with all its commands (man(7)).
func Man(w io.Writer, root *cobra.Command, at time.Time) error {
	b := bufio.NewWriter(w)
	name := root.Name()
	fmt.Fprintf(b, ".TH %s 1 %s \"Prime Spark\" \"User Commands\"\n", quoted(strings.ToUpper(name)), at.Format(time.DateOnly))
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", roff(name), roff(lowered(root.Short)))
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIflags\\fR]\n", roff(name))
	fmt.Fprintf(b, ".SH DESCRIPTION\n%s\n", paragraphs(root.Long))
	fmt.Fprintf(b, ".SH COMMANDS\n")
	each(root, func(cmd *cobra.Command) {
		line := strings.TrimPrefix(cmd.UseLine(), name+" ")
		fmt.Fprintf(b, ".SS %s\n", quoted(roff(strings.TrimSuffix(line, " [flags]"))))
		text := cmd.Long
		if text == "" {
			text = cmd.Short + "."
		}
		fmt.Fprintln(b, paragraphs(text))
		options(b, cmd.NonInheritedFlags())
		if cmd.Example != "" {
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(strings.TrimRight(cmd.Example, "\n")))
		}
	})
	fmt.Fprint(b, ".SH OPTIONS OF ALL COMMANDS\n")
	options(b, root.PersistentFlags())
	fmt.Fprintf(b, ".TP\n.B \\-\\-help\nExplain the command.\n")
	if root.Example != "" {
		fmt.Fprintf(b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roff(root.Example))
	}
	fmt.Fprint(b, ".SH EXIT STATUS\n")
	for code, meaning := range []string{
		Done: "Done.", Failed: "Failed; the reason and a remedy are on standard error.", Misused: "Called wrongly: nothing was tried.",
		NotFound: "What was named is not there.", Unreachable: "No quorum, or nobody answers.",
		Corrupt: "A store is damaged; the text has the command that repairs it.",
	} {
		fmt.Fprintf(b, ".TP\n.B %d\n%s\n", code, roff(meaning))
	}
	return b.Flush()
}

// each calls do with all commands that do something, in the order of help.
func each(cmd *cobra.Command, do func(*cobra.Command)) {
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() || sub.Name() == "help" {
			continue
		}
		if sub.HasAvailableSubCommands() {
			each(sub, do)
			continue
		}
		do(sub)
	}
}

func options(w io.Writer, flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		label := "\\-\\-" + roff(f.Name)
		if f.Shorthand != "" {
			label = "\\-" + roff(f.Shorthand) + ", " + label
		}
		fmt.Fprintf(w, ".TP\n.B %s", label)
		if value != "" {
			fmt.Fprintf(w, " \\fI%s\\fR", roff(value))
		}
		switch f.DefValue {
		case "", "false", "0", "0s", "[]":
			fmt.Fprintf(w, "\n%s\n", roff(usage))
		default:
			fmt.Fprintf(w, "\n%s (default %s)\n", roff(usage), roff(f.DefValue))
		}
	})
}

// roff escapes a text for roff: nothing in it is a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\`").Replace(s)
	all := strings.Split(s, "\n")
	for i, line := range all {
		if strings.HasPrefix(line, ".") {
			all[i] = `\&` + line
		}
	}
	return strings.Join(all, "\n")
}

// quoted makes one argument of a request of a text.
func quoted(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\(dq`) + `"` }

// paragraphs sets a text whose paragraphs stand between empty lines; indented
// lines stay as they are.
func paragraphs(s string) string {
	var b strings.Builder
	literal := false
	for i, line := range strings.Split(strings.TrimSpace(s), "\n") {
		indented := strings.HasPrefix(line, "  ") || strings.HasPrefix(line, "\t")
		switch {
		case indented && !literal:
			b.WriteString(".nf\n")
		case !indented && literal:
			b.WriteString(".fi\n")
		}
		literal = indented
		if line == "" && i > 0 {
			b.WriteString(".PP\n")
			continue
		}
		b.WriteString(roff(line) + "\n")
	}
	if literal {
		b.WriteString(".fi\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// lowered makes a heading the second half of a line.
func lowered(s string) string {
	if len(s) > 1 && (s[1] == ' ' || s[1] >= 'a' && s[1] <= 'z') {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
