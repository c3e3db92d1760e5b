package operator

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

// shownFaults is how many faults status has room for.
const shownFaults = 8

// A report is the cluster in one look, with what is wrong.
type report struct {
	wire.StatusBody
	Wrong []fault `json:"wrong"`
}

func statusCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "status", Short: "See how the fleet fares, what is wrong and what to do", Args: cli.Words(),
		Long: `See in one look how the fleet fares, what is wrong with it, and what to do about each.
It answers also without a quorum, by what the coordinator knew last.`,
		Example: "  prime-spark status\n  prime-spark status --watch\n  prime-spark status --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return look(cmd, s, func(ctx context.Context, c *wire.Client) (report, error) {
				c.Stale = stale
				return newReport(ctx, c)
			}, showStatus)
		},
	}
	return looks(cmd, &stale)
}

// newReport asks for the status, and then for what explains it, which needs no
// quorum.
func newReport(ctx context.Context, c *wire.Client) (r report, err error) {
	if r.StatusBody, err = c.Status(ctx); err != nil {
		return r, err
	}
	c.Stale = true
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return r, err
	}
	alerts, err := c.Alerts(ctx)
	if err != nil && !problem.Is(err, problem.NotFound) { // an older coordinator has none
		return r, err
	}
	r.Wrong = append([]fault{}, wrong(r.StatusBody, nodes, alerts)...)
	return r, nil
}

func showStatus(out *cli.Out, r report) {
	b := r.StatusBody
	warnRemoved(out, b)
	mode := cli.Good(string(b.Mode))
	if b.Mode != fleet.Normal {
		mode = cli.Bad(string(b.Mode))
	}
	out.Line("%s", cli.Strong(b.Summary.Sentence))
	out.Line("cluster %s, %s, term %d, applied %d, checksum %s", b.Cluster, mode, b.Term, b.AppliedIndex, short(b.StateChecksum))
	out.Line("")
	showFaults(out, r.Wrong) // first: a terminal may be low
	out.Line("")
	showCoordinators(out, b.Coordinators)
}

func showFaults(out *cli.Out, all []fault) {
	if len(all) == 0 {
		out.Line("%s", cli.Good("Nothing is wrong."))
		return
	}
	var rows [][]any
	for _, f := range all[:min(len(all), shownFaults)] {
		mark := cli.Faint
		switch f.Severity {
		case "critical":
			mark = cli.Bad
		case "warning":
			mark = cli.Warn
		}
		rows = append(rows, []any{mark(f.Severity), since(f.Since), f.Detail, f.Remedy})
	}
	out.Table([]string{"SEVERITY", "FOR", "WHAT IS WRONG", "WHAT TO DO"}, rows)
	if more := len(all) - shownFaults; more > 0 {
		out.Line("%s", cli.Faint(number(more, "more fault")+": prime-spark alerts and prime-spark nodes show them."))
	}
}

// since is how long ago something began, in a few letters.
func since(at time.Time) string {
	d := time.Since(at)
	switch {
	case at.IsZero():
		return "-"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", max(d, 0).Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f d", d.Hours()/24)
}
