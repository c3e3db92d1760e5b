package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"primespark/shared/problem"
)

// maxSecret bounds a secret, in bytes; tokens and join codes are a few hundred.
const maxSecret = 16 << 10

// ReadSecret reads one secret, a token or a join code: from the file at path, or
// from stdin if path is "-"; on a terminal it asks for what and does not echo.
// White space around it is dropped. An empty one is an error.
func ReadSecret(cmd *cobra.Command, path, what string) (string, error) {
	raw, err := readSecret(cmd, path, what)
	if err != nil {
		return "", err
	}
	if len(raw) > maxSecret {
		return "", Misuse(cmd, "What was given as %s is longer than %d bytes.", what, maxSecret)
	}
	s := string(bytes.TrimSpace(raw))
	if s == "" {
		return "", Misuse(cmd, "The %s is empty.", what)
	}
	return s, nil
}

func readSecret(cmd *cobra.Command, path, what string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, Exit(Misused, &problem.Error{
				Code:   problem.Invalid,
				Detail: fmt.Sprintf("There is no file %s with the %s.", path, what),
				Remedy: "Give the right path, or - to read it from standard input.",
			})
		}
		if err != nil {
			return nil, fmt.Errorf("read the %s: %w", what, err)
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, maxSecret+1))
	}
	in := cmd.InOrStdin()
	if f, ok := terminal(in); ok {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", what)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return raw, err
	}
	return io.ReadAll(io.LimitReader(in, maxSecret+1))
}
