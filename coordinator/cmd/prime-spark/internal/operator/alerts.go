package operator

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/wire"
)

func alertsCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "alerts", Short: "See what is wrong, since when, and who was told", Args: cli.Words(),
		Long: `See what is wrong with the fleet now, since when, what to do about it, and who was
told when. The coordinators look by themselves; whom they tell is alerts.channels
in coordinator.yaml.`,
		Example: "  prime-spark alerts\n  prime-spark alerts --watch=10s\n  prime-spark alerts --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return look(cmd, s, func(ctx context.Context, c *wire.Client) ([]wire.Alert, error) {
				c.Stale = stale
				return c.Alerts(ctx)
			}, showAlerts)
		},
	}
	return looks(cmd, &stale)
}

func showAlerts(out *cli.Out, all []wire.Alert) {
	if len(all) == 0 {
		out.Line("Nothing is wrong.")
		return
	}
	var rows [][]any
	for _, a := range all {
		severity := cli.Warn(a.Severity)
		if a.Severity == "critical" {
			severity = cli.Bad(a.Severity)
		}
		told := "nobody"
		if len(a.Told) > 0 {
			var each []string
			for _, one := range a.Told {
				each = append(each, one.Channel+" "+clock(one.At))
			}
			told = strings.Join(each, ", ")
		}
		rows = append(rows, []any{a.Key, severity, clock(a.Since), told, a.Detail, a.Remedy})
	}
	out.Table([]string{"ALERT", "SEVERITY", "SINCE", "TOLD", "DETAIL", "REMEDY"}, rows)
}
