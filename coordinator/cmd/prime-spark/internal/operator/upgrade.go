package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/upgrade"
	"primespark/shared/cli"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

func upgradeCommand(s *session) *cobra.Command {
	var canary, to, ssh string
	var drain, within, stays, canaryStays time.Duration
	var dry, yes bool
	cmd := &cobra.Command{
		Use: "upgrade [NODE...]", Short: "Upgrade the nodes one after the other, as long as all stay well",
		Args: cobra.ArbitraryArgs,
		Long: `Has apt upgrade the nodes, all or those that are named, one after the other: the canary
first, then the other agents, then the coordinators, the leader last. An agent is
drained before, and gets work again after. The next one is touched only once the one
before runs the new version, serves what it served, and has been well for a while; the
first that does not ends it, and the rest stays as it is. Run it again to go on:
nodes that are done are left alone.

It shows the order and asks before it begins; --yes stands for the answer where nobody
is to be asked, as in a script. It logs in to each node's address by ssh, as whom your ssh configuration says, and
needs sudo without a password there. Nodes that are dead are left out.`,
		Example: "  prime-spark upgrade --dry-run\n  prime-spark upgrade --canary pi-2 --ssh \"ssh -l pi\"\n  prime-spark upgrade --to 1.4.0 --yes pi-3 pi-4",
		RunE: func(cmd *cobra.Command, args []string) error {
			for flag, d := range map[string]time.Duration{"drain": drain, "within": within, "watch": stays, "watch-canary": canaryStays} {
				if d < time.Second || d > 24*time.Hour {
					return cli.Misuse(cmd, "--%s is %v; give it 1s to 24h.", flag, d)
				}
			}
			if to != "" {
				if err := upgrade.CheckVersion(to); err != nil {
					return cli.Misuse(cmd, "--to: %v.", err)
				}
			}
			command := strings.Fields(ssh)
			if len(command) == 0 {
				return cli.Misuse(cmd, "--ssh is empty; give it a command that reaches a host, as in \"ssh -l pi\".")
			}
			plan, err := planUpgrade(cmd, s, canary, args)
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			if dry {
				return out.Data(plan, func() {
					var rows [][]any
					for i, n := range plan {
						rows = append(rows, []any{i + 1, n.Name, string(n.Role), n.Version, n.Host, n.Package()})
					}
					out.Table([]string{"TURN", "NODE", "ROLE", "VERSION", "HOST", "PACKAGE"}, rows)
				})
			}
			if !yes {
				for i, n := range plan {
					cmd.PrintErrf("%3d. %s (%s, %s) at %s\n", i+1, cli.Text(n.Name), n.Role, cli.Text(n.Version), cli.Text(n.Host))
				}
				if err := cli.Confirm(cmd, fmt.Sprintf("Upgrade %s?", counted(len(plan))), "--yes"); err != nil {
					return err
				}
			}
			c := upgrade.Config{
				Fleet: sessionFleet{cmd, s}, Install: upgrade.SSH(command), To: to, Drain: drain, Within: within, Stays: stays, Canary: canaryStays,
				Tell: func(words string) { cmd.PrintErrln(cli.Text(words)) },
			}
			done, err := c.Run(cmd.Context(), plan)
			if err != nil {
				return err
			}
			return out.Data(done, func() { out.Line("%d nodes are upgraded and well.", len(done)) })
		},
	}
	cmd.Flags().StringVar(&canary, "canary", "", "`node` that goes first; an agent if empty")
	cmd.Flags().StringVar(&to, "to", "", "`version`; what the canary's apt has newest if empty")
	cmd.Flags().StringVar(&ssh, "ssh", "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=15", "`command` that reaches a host")
	cmd.Flags().DurationVar(&drain, "drain", 30*time.Second, "how long an agent may take to answer what it has, before it is touched")
	cmd.Flags().DurationVar(&within, "within", 5*time.Minute, "how long a node may take until it is well again")
	cmd.Flags().DurationVar(&stays, "watch", 30*time.Second, "how long it has to stay well before the next one")
	cmd.Flags().DurationVar(&canaryStays, "watch-canary", 2*time.Minute, "the same of the canary")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show in which order, and do nothing")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cli.JSON(cmd)
	return cmd
}

// counted is how many nodes a plan has, in words.
func counted(nodes int) string {
	if nodes == 1 {
		return "this node"
	}
	return fmt.Sprintf("these %d nodes, one after the other", nodes)
}

func planUpgrade(cmd *cobra.Command, s *session, canary string, names []string) ([]upgrade.Node, error) {
	f := sessionFleet{cmd, s}
	status, err := f.Status(cmd.Context())
	if err != nil {
		return nil, err
	}
	nodes, err := f.Nodes(cmd.Context())
	if err != nil {
		return nil, err
	}
	plan, away, err := upgrade.Plan(status, nodes, canary, names)
	if err != nil {
		return nil, err
	}
	if len(away) > 0 {
		cmd.PrintErrf("Left out, for they do not answer: %s\n", cli.Text(strings.Join(away, ", ")))
	}
	if len(plan) == 0 {
		return nil, problem.New(problem.NotFound, "See prime-spark nodes.", "There is no node to upgrade.")
	}
	return plan, nil
}

// A sessionFleet asks with a time limit of its own each time: an upgrade takes long.
type sessionFleet struct {
	cmd *cobra.Command
	s   *session
}

func (f sessionFleet) Status(context.Context) (wire.StatusBody, error) {
	return groupStatus(f.cmd, f.s, false)
}

func (f sessionFleet) Nodes(context.Context) ([]wire.NodeBody, error) {
	return ask(f.cmd, f.s, "asking the coordinators", func(ctx context.Context, c *wire.Client) ([]wire.NodeBody, error) { return c.Nodes(ctx) })
}

func (f sessionFleet) NodeAction(_ context.Context, name string, a wire.Action) (wire.NodeBody, error) {
	return ask(f.cmd, f.s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (wire.NodeBody, error) {
		return c.NodeAction(ctx, name, a)
	})
}
