package cli

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"primespark/shared/problem"
)

// Confirm asks the person at the terminal a question, and returns nil if the answer is
// yes. Where nobody is to be asked it refuses, and names the flag that stands for a yes.
func Confirm(cmd *cobra.Command, question, flag string) error {
	in, ok := terminal(cmd.InOrStdin())
	if !ok {
		return Misuse(cmd, "There is nobody to ask. Say that you mean it with %s.", flag)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	answer, err := bufio.NewReader(io.LimitReader(in, maxSecret)).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return problem.New(problem.Invalid, "", "Nothing was done.")
}
