// Package cli is what the three programs have in common on the command line:
// exit codes, how an error and a table look, what a terminal gets and a pipe
// does not. It holds no command save version.
//
// Nothing that came from elsewhere reaches a terminal with its control
// characters: tables, lines and errors escape them (see Text).
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"primespark/shared/problem"
)

// The exit codes of all programs.
const (
	Done        = 0
	Failed      = 1
	Misused     = 2 // called wrongly: nothing was tried
	NotFound    = 3 // nothing there
	Unreachable = 4 // no quorum, or nobody answers
	Corrupt     = 5 // a store is damaged; the text has the command that repairs it
)

// Root makes a program's top command, with version below it.
func Root(name, short, long string) *cobra.Command {
	root := &cobra.Command{Use: name, Short: short, Long: long, Example: "  " + name + " version"}
	root.AddCommand(versionCommand(name), manCommand(root), completionCommand(name))
	return root
}

// Main runs the command that args name and returns the exit code. The first
// SIGINT or SIGTERM ends the command's context; a second one kills the process.
func Main(root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // gives the signals their usual effect back

	prepare(root)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetArgs(args)
	err := unknownCommand(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		return Done
	}
	fmt.Fprint(stderr, describe(root.Name(), err))
	return exitCode(err)
}

// prepare makes cobra leave the printing of errors to Main, and word those of
// flags as the others are worded.
func prepare(root *cobra.Command) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.DisableSuggestions = true // unknownCommand does better
	root.SetFlagErrorFunc(flagError)
	root.SetHelpCommand(helpCommand(root))
}

// An exit is an error that asks for a certain exit code.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// Exit returns err with the exit code that the program shall end with.
func Exit(code int, err error) error { return exit{code, err} }

// Misuse says that a command was called wrongly, and where to read how it is called.
func Misuse(cmd *cobra.Command, text string, args ...any) error {
	return Exit(Misused, problem.New(problem.Invalid, "See "+cmd.CommandPath()+" --help.", text, args...))
}

func exitCode(err error) int {
	if e, ok := errors.AsType[exit](err); ok {
		return e.code
	}
	if e, ok := errors.AsType[*problem.Error](err); ok {
		switch e.Code {
		case problem.NotFound:
			return NotFound
		case problem.Unreachable, problem.NoLeader, problem.NoQuorum, problem.NotReady:
			return Unreachable
		}
	}
	return Failed
}

// describe words an error for a person: what happened, what to do, and the cause
// on a line of its own.
func describe(program string, err error) string {
	if errors.Is(err, context.Canceled) {
		return program + ": Stopped.\n"
	}
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Sprintf("%s: %s\n", program, lines(err.Error()))
	}
	var b strings.Builder
	b.WriteString(program + ": " + lines(e.Detail))
	switch {
	case e.Remedy == "":
	case strings.Contains(e.Detail, "\n"): // a list of faults
		b.WriteString("\n" + lines(e.Remedy))
	default:
		b.WriteString(" " + lines(e.Remedy))
	}
	b.WriteByte('\n')
	if e.Err != nil {
		b.WriteString("  cause: " + lines(e.Err.Error()) + "\n")
	}
	return b.String()
}

// lines is Text for a text of several lines, which stay so.
func lines(s string) string {
	all := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range all {
		all[i] = Text(all[i])
	}
	return strings.Join(all, "\n  ")
}
