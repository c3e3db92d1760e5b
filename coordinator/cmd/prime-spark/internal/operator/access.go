package operator

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/settings"
	"primespark/shared/cli"
	"primespark/shared/fleet"
	"primespark/shared/problem"
	"primespark/shared/wire"
)

func joinCodeCommand(s *session) *cobra.Command {
	var role string
	var ttl time.Duration
	var uses int
	var rejoin bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make a code with which a node can join", Args: cli.Words(),
		Long: `Make a code with which a node can join. The code is a secret and shown once:
standard output has the code alone, so that it can go straight into a file.`,
		Example: "  prime-spark join-code create --role agent\n  prime-spark join-code create --role agent --uses 3 --ttl 1h > code",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case role == "":
				return cli.Misuse(cmd, "--role is missing; it is agent or coordinator.")
			case !fleet.Role(role).Valid():
				return cli.Misuse(cmd, "--role is %q; it must be agent or coordinator.", role)
			case ttl <= 0:
				return cli.Misuse(cmd, "--ttl is %v; give it a time above zero, as in 15m.", ttl)
			case uses < 1:
				return cli.Misuse(cmd, "--uses is %d; give 1 or more.", uses)
			}
			b, err := ask(cmd, s, "asking for a code", func(ctx context.Context, c *wire.Client) (wire.JoinCodeBody, error) {
				return c.CreateJoinCode(ctx, wire.JoinCodeRequest{Role: fleet.Role(role), TTL: ttl.String(), Uses: uses, Rejoin: rejoin})
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(b, func() {
				out.Line("%s", b.Code)
				cmd.PrintErrf("For %d %s until %s. There: prime-spark-%s join --code-file -\n", b.Uses, cli.Text(string(b.Role)), clock(b.Expires), cli.Text(string(b.Role)))
			})
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "what the node is to be: agent or coordinator")
	cli.CompleteFlag(cmd, "role", always("agent", "coordinator"))
	cmd.Flags().DurationVar(&ttl, "ttl", 15*time.Minute, "how long the code is good for")
	cmd.Flags().IntVar(&uses, "uses", 1, "how many nodes may join with it")
	cmd.Flags().BoolVar(&rejoin, "rejoin", false, "let the node take over the name of a member, whose keys are then denied")
	cli.JSON(cmd)
	return cmd
}

var tokenRoles = []string{"viewer", "operator", "admin"}

func tokenCommand(s *session) *cobra.Command {
	var name, role string
	cmd := &cobra.Command{
		Use: "create", Short: "Make a token for a person or a program", Args: cli.Words(),
		Long: `Make a token for a person or a program. A viewer sees all and changes nothing; an
operator also works with nodes and has models answer; an admin also makes tokens.
The token is a secret and shown once: standard output has the token alone.`,
		Example: "  prime-spark token create --name grafana --role viewer > token",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case name == "":
				return cli.Misuse(cmd, "--name is missing; say who the token is for.")
			case !slices.Contains(tokenRoles, role):
				return cli.Misuse(cmd, "--role is %q; it must be %s.", role, strings.Join(tokenRoles, ", "))
			}
			b, err := ask(cmd, s, "asking for a token", func(ctx context.Context, c *wire.Client) (wire.TokenBody, error) {
				return c.CreateToken(ctx, wire.TokenRequest{Name: name, Role: role})
			})
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(b, func() {
				out.Line("%s", b.Token)
				cmd.PrintErrf("For %s, as %s. It is not shown again.\n", cli.Text(b.Name), cli.Text(b.Role))
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "who it is for")
	cmd.Flags().StringVar(&role, "role", "viewer", "viewer, operator or admin")
	cli.CompleteFlag(cmd, "role", always(tokenRoles...))
	cli.JSON(cmd)
	return cmd
}

func loginCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "login", Short: "Keep a cluster's address and token for this user", Args: cli.Words(),
		Long: `Keep the address of a cluster, its certificate authority and a token in
~/.config/prime-spark, for this user's eyes only. The token is read from standard
input, or from --token-file; nothing is kept unless the cluster accepts it.`,
		Example: "  prime-spark login --server https://10.0.0.1:7480 --ca-file ca.crt\n  prime-spark login --server https://10.0.0.1:7480 --ca-file ca.crt --token-file token",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(s.servers) == 0 {
				return cli.Misuse(cmd, "--server is missing; give it the address of a coordinator, as https://10.0.0.1:7480.")
			}
			set, err := s.settings(cmd)
			if err != nil {
				return err
			}
			dir, err := settings.Dir()
			if err != nil {
				return cli.Exit(cli.Misused, err)
			}
			var ca []byte
			if set.CAFile != "" {
				if ca, err = settings.ReadCA(set.CAFile); err != nil {
					return cli.Exit(cli.Misused, err)
				}
			}
			path := set.TokenFile
			if path == "" {
				path = "-"
			}
			token, err := cli.ReadSecret(cmd, path, "token")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), s.timeout)
			defer cancel()
			client := wire.Pinned(set.Servers, token, ca)
			client.Stale = true // a token can be checked without a quorum
			status, err := client.Status(ctx)
			if problem.Is(err, problem.Unauthorized) {
				return problem.New(problem.Unauthorized, "Give the token that prime-spark-coordinator init or prime-spark token create printed.",
					"The cluster does not know this token.")
			}
			if err != nil {
				return late(cmd, ctx, s, err)
			}
			if err := settings.Save(dir, set.Servers, token, ca); err != nil {
				return err
			}
			cli.Output(cmd).Line("Logged in to cluster %s; kept in %s.", status.Cluster, dir)
			return nil
		},
	}
}
