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
	"primespark/shared/problem"
	"primespark/shared/run"
	"primespark/shared/wire"
)

func coordinatorsCommand(s *session) *cobra.Command {
	return cli.Group("coordinators", "See and change the group of coordinators", coordinatorListCommand(s), coordinatorRemoveCommand(s), coordinatorReplaceCommand(s))
}

func coordinatorListCommand(s *session) *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the coordinators, and what their number can survive", Args: cli.Words(),
		Example: "  prime-spark coordinators list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cli.Again(cmd, passing, func(out *cli.Out) error {
				b, err := groupStatus(cmd, s, stale)
				if err != nil {
					return err
				}
				return out.Data(b.Coordinators, func() {
					warnRemoved(out, b)
					showCoordinators(out, b.Coordinators)
					out.Line("")
					out.Line("%s", survives(b.Coordinators))
				})
			})
		},
	}
	return looks(cmd, &stale)
}

func groupStatus(cmd *cobra.Command, s *session, stale bool) (wire.StatusBody, error) {
	return ask(cmd, s, "asking the coordinators", func(ctx context.Context, c *wire.Client) (wire.StatusBody, error) {
		c.Stale = stale
		return c.Status(ctx)
	})
}

// survives says what a group can lose, and warns of a number that helps nobody.
func survives(group []wire.Coordinator) string {
	voters, here := 0, 0
	for _, c := range group {
		if c.Voter {
			voters++
			if c.Alive {
				here++
			}
		}
	}
	need := voters/2 + 1
	text := fmt.Sprintf("%d vote, %d of them answer, and it takes %d to decide: the group can lose %d more.", voters, here, need, max(0, here-need))
	if advice := wire.GroupAdvice(voters); advice != "" {
		text += " " + advice
	}
	return text
}

func coordinatorRemoveCommand(s *session) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a coordinator out of the group, for good", Args: cli.Words("NAME"),
		Long: `Takes a coordinator out of the group for good: the others do not count it any more, and
its certificate is refused everywhere (the same as prime-spark revoke). If it leads, it
hands over first. Refused if those who stay and answer could not decide any more;
--force does it all the same, and then nothing can be decided until those who are
missing are back, or prime-spark-coordinator recover --from-one is run on one.`,
		Example: "  prime-spark coordinators remove c3",
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := removeCoordinator(cmd, s, args[0], force)
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(map[string]string{"removed": args[0]}, func() {
				out.Line("%s is removed. Stop its process; its certificate is refused from now on.", args[0])
				if b, err := groupStatus(cmd, s, true); err == nil { // it is only for the words
					out.Line("%s", survives(slices.DeleteFunc(b.Coordinators, func(c wire.Coordinator) bool { return c.Name == args[0] })))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "even if the group is then without a quorum")
	cli.JSON(cmd)
	cli.Complete(cmd, coordinatorNames(s))
	return cmd
}

// removeCoordinator has one of the others remove a coordinator: it could not
// answer that it is removed itself.
func removeCoordinator(cmd *cobra.Command, s *session, name string, force bool) (wire.NodeBody, error) {
	b, err := groupStatus(cmd, s, true)
	if err != nil {
		return wire.NodeBody{}, err
	}
	if node, err := ask(cmd, s, "asking for "+name, func(ctx context.Context, c *wire.Client) (wire.NodeBody, error) { return c.Node(ctx, name) }); err != nil {
		return node, err
	} else if node.Role != fleet.Coordinator {
		return node, problem.New(problem.Invalid, "Shut it out with prime-spark revoke "+name+".", "%s is no coordinator but an %s.", name, node.Role)
	}
	return ask(cmd, s, "removing "+name, func(ctx context.Context, c *wire.Client) (wire.NodeBody, error) {
		c.BaseURLs = prefer(c.BaseURLs, b.Coordinators, name)
		return c.RevokeNode(ctx, name, force)
	})
}

// prefer puts the coordinators that do not go before the servers that were
// given, where these are known by address.
func prefer(servers []string, group []wire.Coordinator, going string) (all []string) {
	for _, server := range servers {
		own := slices.ContainsFunc(group, func(c wire.Coordinator) bool { return c.Name == going && strings.HasSuffix(server, "//"+c.API) })
		if !own {
			all = append(all, server)
		}
	}
	for _, c := range group {
		if c.Name != going && c.Alive && c.API != "" && len(servers) > 0 && strings.HasPrefix(servers[0], "https:") {
			all = append(all, "https://"+c.API)
		}
	}
	return append(all, servers...)
}

func coordinatorReplaceCommand(s *session) *cobra.Command {
	var with string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "replace OLD", Short: "Put a new coordinator in the place of another", Args: cli.Words("OLD"),
		Long: `Puts a new coordinator in the place of another: makes a join code and shows it, waits
until a coordinator has joined with it, has caught up and votes, and removes the old
one then, never before. If it is interrupted, nothing is lost: run it again with
--with NEW, which waits for a coordinator that has joined already.`,
		Example: "  prime-spark coordinators replace c2\n  prime-spark coordinators replace c2 --with c4",
		RunE: func(cmd *cobra.Command, args []string) error {
			if wait <= 0 || wait > 24*time.Hour {
				return cli.Misuse(cmd, "--wait is %v; give it a time above zero and up to 24h.", wait)
			}
			if with == args[0] {
				return cli.Misuse(cmd, "--with names the coordinator that is to go.")
			}
			return replaceCoordinator(cmd, s, args[0], with, wait)
		},
	}
	cmd.Flags().StringVar(&with, "with", "", "`name` of a coordinator that has joined already")
	cmd.Flags().DurationVar(&wait, "wait", 15*time.Minute, "how long to wait for the new one; the code is good for as long")
	cli.JSON(cmd)
	cli.Complete(cmd, coordinatorNames(s))
	return cmd
}

func replaceCoordinator(cmd *cobra.Command, s *session, old, with string, wait time.Duration) error {
	before, err := groupStatus(cmd, s, false)
	if err != nil {
		return err
	}
	named := func(name string) func(wire.Coordinator) bool {
		return func(c wire.Coordinator) bool { return c.Name == name }
	}
	if !slices.ContainsFunc(before.Coordinators, named(old)) {
		return problem.New(problem.NotFound, "List them: prime-spark coordinators list.", "There is no coordinator %.64q in the group.", old)
	}
	if with == "" {
		code, err := ask(cmd, s, "asking for a code", func(ctx context.Context, c *wire.Client) (wire.JoinCodeBody, error) {
			return c.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Coordinator, TTL: wait.String(), Uses: 1})
		})
		if err != nil {
			return err
		}
		cmd.PrintErrf("1 of 3: join the new coordinator with this code, under another name than %s, and start it:\n  %s\n", old, cli.Text(code.Code))
	}
	added, err := awaitVoter(cmd, s, before.Coordinators, with, wait)
	if err != nil {
		return err
	}
	cmd.PrintErrf("3 of 3: %s votes and has caught up; removing %s.\n", cli.Text(added), cli.Text(old))
	if _, err := removeCoordinator(cmd, s, old, false); err != nil {
		return err
	}
	out := cli.Output(cmd)
	return out.Data(map[string]string{"added": added, "removed": old}, func() {
		out.Line("%s is in the place of %s. Stop the process of %s; its certificate is refused from now on.", added, old, old)
	})
}

// awaitVoter waits until a coordinator votes that is new, or that is named.
func awaitVoter(cmd *cobra.Command, s *session, before []wire.Coordinator, with string, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(cmd.Context(), wait)
	defer cancel()
	told := false
	for {
		b, err := groupStatus(cmd, s, true)
		for _, c := range b.Coordinators {
			known := slices.ContainsFunc(before, func(o wire.Coordinator) bool { return o.Name == c.Name })
			if err != nil || c.Name != with && (with != "" || known) {
				continue
			}
			if c.Voter && c.Alive {
				return c.Name, nil
			}
			if !told {
				told = true
				cmd.PrintErrf("2 of 3: %s is in the group; waiting until it has caught up and votes.\n", cli.Text(c.Name))
			}
		}
		if !run.Sleep(ctx, time.Second) {
			return "", &problem.Error{
				Code: problem.Deadline, Err: cmp.Or(err, ctx.Err()),
				Detail: fmt.Sprintf("No new coordinator voted within %v; nothing was removed.", wait),
				Remedy: "Look into its log, and run this again with --with and its name once it has joined.",
			}
		}
	}
}
