package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// completionCommand makes the script by which a shell completes the program's
// commands, flags and names. The packages install it.
func completionCommand(program string) *cobra.Command {
	shells := map[string]func(root *cobra.Command, cmd *cobra.Command) error{
		"bash": func(root, cmd *cobra.Command) error { return root.GenBashCompletionV2(cmd.OutOrStdout(), true) },
		"zsh":  func(root, cmd *cobra.Command) error { return root.GenZshCompletion(cmd.OutOrStdout()) },
		"fish": func(root, cmd *cobra.Command) error { return root.GenFishCompletion(cmd.OutOrStdout(), true) },
	}
	return &cobra.Command{
		Use: "completion SHELL", Short: "Have bash, zsh or fish complete commands and names",
		Long: `Prints the script by which a shell completes the commands, flags and names of this
program. The Debian packages install it already.`,
		Example:   "  source <(" + program + " completion bash)\n  " + program + " completion zsh > ~/.zfunc/_" + program + "\n  " + program + " completion fish > ~/.config/fish/completions/" + program + ".fish",
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      Words("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			script, ok := shells[args[0]]
			if !ok {
				return Misuse(cmd, "%q is no shell that is known; give bash, zsh or fish.", Text(args[0]))
			}
			return script(cmd.Root(), cmd)
		},
	}
}

// Complete has a shell complete the arguments of cmd by what names returns: those
// that may come after the ones in args. It is asked while somebody types, so it must
// be quick, and has no way to tell of an error.
func Complete(cmd *cobra.Command, names func(cmd *cobra.Command, args []string) []string) {
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return begins(names(cmd, args), begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteFlag does the same for the value of a flag that cmd has.
func CompleteFlag(cmd *cobra.Command, flag string, names func(cmd *cobra.Command) []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return begins(names(cmd), begun), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}

// begins are the names that begin so and are safe for a shell to insert.
func begins(names []string, begun string) (fit []string) {
	for _, name := range names {
		if strings.HasPrefix(name, begun) && name == Text(name) && !strings.ContainsAny(name, " \t\"'`$\\;&|<>(){}*?[]~!#") {
			fit = append(fit, name)
		}
	}
	return fit
}
