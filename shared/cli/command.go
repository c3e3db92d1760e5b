package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"primespark/shared/conf"
	"primespark/shared/problem"
	"primespark/shared/version"
)

// Group makes a command that only holds others.
func Group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short, Example: commands[0].Example}
	g.AddCommand(commands...)
	return g
}

// Words returns the check of a command's positional arguments: exactly those
// that are named, as in Words("NODE").
func Words(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Misuse(cmd, "%s is missing.", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return Misuse(cmd, `"%s" is one argument too many.`, Text(args[len(names)]))
		}
		return nil
	}
}

func versionCommand(program string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "version", Short: "Print which build this is", Args: Words(),
		Example: "  " + program + " version --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := Output(cmd)
			return out.Data(version.Get(), func() { out.Line("%s %s", program, version.Get()) })
		},
	}
	JSON(cmd)
	return cmd
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command", Example: "  " + root.Name() + " help version",
		RunE: func(_ *cobra.Command, args []string) error {
			if err := unknownCommand(root, args); err != nil {
				return err
			}
			cmd, _, err := root.Find(args)
			if err != nil {
				return err
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// unknownCommand finds out whether args name a command that does not exist, and
// says which one may have been meant and which there are.
func unknownCommand(root *cobra.Command, args []string) error {
	root.InitDefaultHelpCmd()
	cmd, rest, err := root.Find(args)
	if err != nil || !cmd.HasSubCommands() {
		// With a root that has no Args, Find itself refuses what it does not know.
		if err == nil {
			return nil
		}
		cmd, rest = root, args
	}
	// A flag that nobody knows must not hide the command that nobody knows.
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	flags.BoolP("help", "h", false, "")
	flags.AddFlagSet(cmd.PersistentFlags())
	flags.AddFlagSet(cmd.InheritedFlags())
	if err := flags.Parse(rest); err != nil || flags.NArg() == 0 {
		return nil // cobra words it
	}
	word := flags.Arg(0)
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() || c.Name() == "help" {
			names = append(names, c.Name())
		}
	}
	slices.Sort(names)
	if slices.Contains(names, word) || hidden(cmd, word) {
		return nil
	}
	remedy := "There are: " + strings.Join(names, ", ") + "."
	if near := conf.Nearest(word, names); near != "" {
		remedy = fmt.Sprintf("Did you mean %q? %s", near, remedy)
	}
	return Exit(Misused, problem.New(problem.Invalid, remedy, `%s has no command "%s".`, cmd.CommandPath(), Text(word)))
}

func hidden(cmd *cobra.Command, word string) bool {
	// cobra adds these two only when it executes.
	return slices.Contains([]string{cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, word) ||
		slices.ContainsFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Name() == word })
}

// flagError words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	if errors.Is(err, pflag.ErrHelp) {
		return err
	}
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		text := err.Error()
		return Misuse(cmd, "%s.", strings.ToUpper(text[:1])+text[1:])
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if near := conf.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return Misuse(cmd, "There is no flag --%s. Did you mean --%s?", Text(unknown.GetSpecifiedName()), near)
	}
	return Misuse(cmd, "There is no flag %s.", Text(dashed(unknown)))
}

func dashed(e *pflag.NotExistError) string {
	if group := e.GetSpecifiedShortnames(); group != "" {
		return "-" + e.GetSpecifiedName()
	}
	return "--" + e.GetSpecifiedName()
}

// Faults tells which commands below root lack what every command has: one line
// of what it does, and an example. For the tests of the programs.
func Faults(root *cobra.Command) (faults []string) {
	for _, c := range append(root.Commands(), root) {
		if c != root {
			faults = append(faults, Faults(c)...)
		}
	}
	if root.Hidden || root.Name() == "help" {
		return faults
	}
	path := root.CommandPath()
	if root.Short == "" {
		faults = append(faults, path+" does not say what it does")
	}
	if !strings.Contains(root.Example, strings.Fields(path)[0]+" ") {
		faults = append(faults, path+" has no example")
	}
	return faults
}
