package operator

import (
	"cmp"
	"context"
	"strings"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/wire"
)

func gossipRotateCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate", Short: "Change the key that gossip is encrypted with; it takes about a minute at most and goes on by itself", Args: cli.Words(),
		Example: "  prime-spark gossip-key rotate",
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := ask(cmd, s, "asking the coordinators to change the gossip key", func(ctx context.Context, c *wire.Client) (wire.GossipKeyBody, error) {
				return c.RotateGossipKey(ctx)
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(b, func() {
				out.Line("The gossip key is being changed to generation %d. See prime-spark gossip-key status.", b.Target)
			})
		},
	}
	cli.JSON(cmd)
	return cmd
}

func gossipStatusCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "status", Short: "See which gossip key is in use, and who has yet to follow a change", Args: cli.Words(),
		Example: "  prime-spark gossip-key status",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return look(cmd, s, func(ctx context.Context, c *wire.Client) (wire.GossipKeyBody, error) {
				c.Stale = stale
				return c.GossipKey(ctx)
			}, showGossipKey)
		},
	}
	return looks(cmd, &stale)
}

func showGossipKey(out *cli.Out, b wire.GossipKeyBody) {
	switch b.Step {
	case wire.GossipInstall:
		out.Line("%s", cli.Warn("Changing: the nodes learn the new key."))
	case wire.GossipSwitch:
		out.Line("%s", cli.Warn("Changing: the new key is in use, the old one is still understood."))
	default:
		out.Line("%s", cli.Good("One key is in use, and no other is understood."))
	}
	rows := [][]any{{"generation", b.Generation}}
	if b.Target != b.Generation {
		rows = append(rows, []any{"changing to", b.Target})
	}
	if !b.Changed.IsZero() {
		rows = append(rows, []any{"last change", clock(b.Changed)}, []any{"reason", cmp.Or(b.Reason, "-")})
	}
	if len(b.Missing) > 0 {
		rows = append(rows, []any{"not there yet", strings.Join(b.Missing, " ")})
	}
	out.Table([]string{"", ""}, rows)
}
