package cli

import (
	"github.com/spf13/cobra"

	"primespark/shared/identity"
	"primespark/shared/problem"
)

// JoinCode returns the join code that a join command was given: its one
// argument, which is for typing by hand, or what the file holds ("-" is
// standard input).
func JoinCode(cmd *cobra.Command, args []string, file string) (identity.JoinCode, error) {
	var text string
	switch {
	case len(args) > 1:
		return identity.JoinCode{}, Misuse(cmd, `"%s" is one argument too many.`, Text(args[1]))
	case len(args) == 1 && file != "":
		return identity.JoinCode{}, Misuse(cmd, "Both a code and --code-file were given; one is enough.")
	case len(args) == 1:
		text = args[0]
	case file == "":
		return identity.JoinCode{}, Misuse(cmd, "The join code is missing; give --code-file FILE, or - for standard input.")
	default:
		var err error
		if text, err = ReadSecret(cmd, file, "join code"); err != nil {
			return identity.JoinCode{}, err
		}
	}
	code, err := identity.ParseJoinCode(text)
	if err != nil {
		return code, Exit(Misused, problem.New(problem.Invalid,
			"Copy the code once more, or have a new one made with prime-spark join-code create.", "This is %v.", err))
	}
	return code, nil
}

// BadConfig words what is wrong with a configuration file; program names the
// command that prints a right one.
func BadConfig(program string, err error) error {
	return &problem.Error{
		Code: problem.Invalid, Detail: err.Error(),
		Remedy: "Correct the file; " + program + " check --print-default shows one that is right.",
	}
}
