package operator

import (
	"context"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/wire"
)

func tokenListCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "See who has a token", Args: cli.Words(),
		Example: "  prime-spark token list\n  prime-spark token list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) ([]wire.TokenRow, error) {
				return c.Tokens(ctx)
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(all, func() {
				var rows [][]any
				for _, t := range all {
					rows = append(rows, []any{t.ID, t.Name, t.Role, clock(t.Created)})
				}
				out.Table([]string{"ID", "NAME", "ROLE", "MADE"}, rows)
			})
		},
	}
	cli.JSON(cmd)
	return cmd
}

func tokenRevokeCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "End a token, and all log-ins on the page by it", Args: cli.Words("ID"),
		Long: `End a token, and all log-ins on the page by it, on all coordinators. The last one
of an admin stays: without it nobody could make another.`,
		Example: "  prime-spark token list\n  prime-spark token revoke k3xq7a",
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := ask(cmd, s, "revoking the token", func(ctx context.Context, c *wire.Client) (wire.TokenRow, error) {
				return c.RevokeToken(ctx, args[0])
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(t, func() { out.Line("The token %s of %s is good for nothing any more.", cli.Text(t.ID), cli.Text(t.Name)) })
		},
	}
	cli.JSON(cmd)
	return cmd
}
