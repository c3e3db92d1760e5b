package operator

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/wire"
)

const staleHelp = "be content with what the coordinator last knew, if there is no quorum"

// warnRemoved says so if the answer is of one whom the others count no more.
func warnRemoved(out *cli.Out, b wire.StatusBody) {
	if b.Removed {
		out.Line("%s", cli.Bad("The coordinator that answers was removed from the group: this is what it knew then. Ask another one with --server."))
	}
}

func showCoordinators(out *cli.Out, group []wire.Coordinator) {
	var rows [][]any
	for _, c := range group {
		role := cli.Good(c.Role)
		switch {
		case !c.Alive || c.Role == wire.RoleUnreachable:
			role = cli.Bad(c.Role)
		case c.Role == wire.RoleCandidate:
			role = cli.Warn(c.Role)
		}
		voter, contact := "yes", "-"
		if !c.Voter {
			voter = "no"
		}
		if c.LastContactMS != nil {
			contact = (time.Duration(*c.LastContactMS) * time.Millisecond).String()
		}
		rows = append(rows, []any{c.Name, role, voter, cmp.Or(c.API, "-"), contact, cmp.Or(c.Version, "-")})
	}
	out.Table([]string{"COORDINATOR", "ROLE", "VOTER", "API", "LAST CONTACT", "VERSION"}, rows)
}

func nodesCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "nodes", Short: "List the nodes", Args: cli.Words(),
		Example: "  prime-spark nodes\n  prime-spark nodes --watch\n  prime-spark nodes --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return look(cmd, s, func(ctx context.Context, c *wire.Client) (wire.NodesBody, error) {
				c.Stale = stale
				nodes, err := c.Nodes(ctx)
				return wire.NodesBody{Nodes: nodes}, err
			}, func(out *cli.Out, b wire.NodesBody) { showNodes(out, b.Nodes) })
		},
	}
	return looks(cmd, &stale)
}

func showNodes(out *cli.Out, nodes []wire.NodeBody) {
	if len(nodes) == 0 {
		out.Line("No nodes yet. Make a code with prime-spark join-code create --role agent, and join one with it.")
		return
	}
	var rows [][]any
	for _, n := range nodes {
		rows = append(rows, []any{
			n.Name, string(n.Role), decided(n), liveness(n.Liveness), readiness(n), power(n.Power), degrees(n.Temperature),
			load(n, n.CPU), load(n, n.Memory), fmt.Sprintf("%d+%d", n.InFlight, n.Queue), models(n.Models),
		})
	}
	out.Table([]string{"NODE", "ROLE", "STATE", "LIVENESS", "READY", "POWER", "TEMP", "CPU", "MEM", "BUSY", "MODELS"}, rows)
}

func nodeCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "node NODE", Short: "See all that is known of one node", Args: cli.Words("NODE"),
		Example: "  prime-spark node pi-1\n  prime-spark node pi-1 --watch=5s",
		RunE: func(cmd *cobra.Command, args []string) error {
			return look(cmd, s, func(ctx context.Context, c *wire.Client) (wire.NodeBody, error) {
				c.Stale = stale
				return c.Node(ctx, args[0])
			}, showNode)
		},
	}
	cli.Complete(cmd, nodeNames(s))
	return looks(cmd, &stale)
}

func showNode(out *cli.Out, n wire.NodeBody) {
	out.Line("%s  %s, %s, %s since %s", cli.Strong(n.Name), string(n.Role), decided(n), liveness(n.Liveness), clock(n.Since))
	rows := [][]any{
		{"ready", readiness(n)},
		{"mode", cmp.Or(string(n.Mode), "-")},
		{"power", power(n.Power)},
		{"temperature", degrees(n.Temperature)},
		{"cpu", percent(n.CPU)},
		{"memory", percent(n.Memory)},
		{"busy", fmt.Sprintf("%d in flight, %d waiting", n.InFlight, n.Queue)},
		{"last seen", clock(n.LastSeen)},
		{"version", cmp.Or(n.Version, "-")},
	}
	for _, kind := range []string{"api", "raft", "gossip"} {
		if a := n.Addresses[kind]; a != "" {
			rows = append(rows, []any{kind, a})
		}
	}
	for _, m := range n.Models {
		latency := "not used yet"
		if m.Millis > 0 {
			latency = fmt.Sprintf("%.1f ms", m.Millis)
		}
		rows = append(rows, []any{"model", fmt.Sprintf("%s %s on %s, %s", m.Name, m.Version, m.Backend, latency)})
	}
	if a := n.Accelerator; a != nil {
		text := a.Kind + " " + a.State
		if a.FPS > 0 {
			text += fmt.Sprintf(", %.4g frames/s", a.FPS)
		}
		rows = append(rows, []any{"accelerator", strings.TrimSpace(text + " " + a.Detail)})
	}
	out.Table([]string{"", ""}, rows)
	for i, f := range faultsOf(n) {
		if i == 0 {
			out.Line("")
		}
		out.Line("%s %s", f.Detail, cli.Faint(f.Remedy))
	}
}

func actionCommand(s *session, a wire.Action, short string) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: string(a) + " NODE", Short: short, Args: cli.Words("NODE"),
		Example: "  prime-spark " + string(a) + " pi-1",
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := ask(cmd, s, "asking the coordinators to "+string(a)+" "+args[0], func(ctx context.Context, c *wire.Client) (wire.NodeBody, error) {
				if a == wire.Revoke {
					return c.RevokeNode(ctx, args[0], force)
				}
				return c.NodeAction(ctx, args[0], a)
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(n, func() { out.Line("%s is %s.", n.Name, decided(n)) })
		},
	}
	cli.Complete(cmd, nodeNames(s, fits(a)))
	if a == wire.Revoke {
		cmd.Flags().BoolVar(&force, "force", false, "a coordinator, even if the group is then without a quorum")
	}
	cli.JSON(cmd)
	return cmd
}

func decided(n wire.NodeBody) cli.Styled {
	switch n.State {
	case "approved":
		return cli.Good(n.State)
	case "revoked":
		return cli.Bad(n.State)
	}
	return cli.Warn(n.State)
}

func liveness(l fleet.Liveness) cli.Styled {
	switch l {
	case fleet.Alive:
		return cli.Good(string(l))
	case "":
		return cli.Faint("not seen")
	case fleet.Left:
		return cli.Faint(string(l))
	}
	return cli.Bad(string(l))
}

func readiness(n wire.NodeBody) cli.Styled {
	switch {
	case n.Ready && len(n.Reasons) > 0:
		return cli.Warn("yes, " + strings.Join(n.Reasons, " "))
	case n.Ready:
		return cli.Good("yes")
	case len(n.Reasons) > 0:
		return cli.Warn(strings.Join(n.Reasons, " "))
	}
	return cli.Faint("-")
}

func power(p fleet.Power) string {
	text := cmp.Or(string(p.Source), "-")
	if p.Charge != nil {
		text += " " + percent(*p.Charge)
	}
	if p.Minutes != nil {
		text += fmt.Sprintf(" %.0f min", *p.Minutes)
	}
	return text
}

func degrees(t *float64) string {
	if t == nil {
		return "-"
	}
	return fmt.Sprintf("%.0f °C", *t)
}

// load is a percentage of a node that measures itself; a coordinator does not,
// and an agent's memory is never empty.
func load(n wire.NodeBody, x float64) string {
	if n.Memory == 0 {
		return "-"
	}
	return percent(x)
}

func percent(x float64) string { return fmt.Sprintf("%.0f%%", 100*x) }

func models(all []fleet.Serving) string {
	var names []string
	for _, m := range all {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(names, " "), "-")
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func short(sum string) string { return cmp.Or(sum[:min(12, len(sum))], "-") }
