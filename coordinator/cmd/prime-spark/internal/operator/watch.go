package operator

import (
	"context"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/wire"
)

// look asks for something and shows it to a person: once, or with --watch again and
// again, also while no coordinator can be reached.
func look[T any](cmd *cobra.Command, s *session, call func(context.Context, *wire.Client) (T, error), human func(*cli.Out, T)) error {
	return cli.Again(cmd, passing, func(out *cli.Out) error {
		v, err := ask(cmd, s, "asking the coordinators", call)
		if err != nil {
			return err
		}
		return out.Data(v, func() { human(out, v) })
	})
}

// looks gives cmd the flags of commands that show what changes.
func looks(cmd *cobra.Command, stale *bool) *cobra.Command {
	if stale != nil {
		cmd.Flags().BoolVar(stale, "stale", false, staleHelp)
	}
	cli.JSON(cmd)
	cli.Watch(cmd)
	return cmd
}
