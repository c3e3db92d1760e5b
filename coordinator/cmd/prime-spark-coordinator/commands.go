package main

import (
	"cmp"
	"context"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"primespark/coordinator"
	"primespark/coordinator/config"
	"primespark/shared/cli"
	"primespark/shared/conf"
	"primespark/shared/identity"
	"primespark/shared/notify"
	"primespark/shared/run"
)

// settings reads the configuration that cmd was told to use. A file that was
// named must be there.
func settings(cmd *cobra.Command) (config.Config, error) {
	flag := cmd.Flag("config")
	cfg, err := config.Load(flag.Value.String(), flag.Changed)
	if err != nil {
		return cfg, cli.BadConfig("prime-spark-coordinator", err)
	}
	return cfg, nil
}

// damaged gives the errors of a damaged store the exit code of their own.
func damaged(err error) error {
	if coordinator.IsCorrupt(err) {
		return cli.Exit(cli.Corrupt, err)
	}
	return err
}

func runCommand() *cobra.Command {
	return &cobra.Command{
		Use: "run", Short: "Run the coordinator until SIGTERM; a second signal kills", Args: cli.Words(),
		Example: "  prime-spark-coordinator run --config /etc/prime-spark/coordinator.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			service, err := notify.FromEnv()
			if err != nil {
				return err
			}
			defer service.Close()
			out := coordinator.Real(cfg, cmd.ErrOrStderr())
			out.Service = service
			sparing(cfg.Role)
			run.Scatter()
			go run.Restart(run.Func("kernel's timer", run.Wake), out.Log).Run(cmd.Context()) // nobody waits for it
			return damaged(coordinator.Run(cmd.Context(), cfg, out))
		},
	}
}

// sparing has the garbage collector keep the memory small. A witness has little to do,
// so the processor's time for that does not matter. Of a coordinator with many agents
// the largest part would be room for garbage, which Go gives as much as all that lives
// and all stacks have: it gets half of that. An operator's GOGC says otherwise.
func sparing(role string) {
	switch {
	case role == config.Witness:
		debug.SetGCPercent(25)
		debug.SetMemoryLimit(12 << 20)
	case os.Getenv("GOGC") == "":
		debug.SetGCPercent(50)
	}
}

func initCommand() *cobra.Command {
	var cluster string
	cmd := &cobra.Command{
		Use: "init", Short: "Found a cluster, with this coordinator as its first", Args: cli.Words(),
		Long: `Founds a cluster: makes its certificate authority and its keys, and prints an operator
token, which is shown this once, and a join code for the next node. Start the
coordinator afterwards.`,
		Example: "  prime-spark-coordinator init --cluster home",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			made, err := coordinator.Init(cmd.Context(), cfg, cluster)
			if err != nil {
				return damaged(err)
			}
			out := cli.Output(cmd)
			return out.Data(made, func() {
				out.Line("Cluster %s is founded; %s is its first coordinator.", made.Cluster, cfg.Name)
				out.Line("")
				out.Line("Operator token, shown this once (prime-spark login takes it):")
				out.Line("  %s", made.Token)
				out.Line("Authority of the cluster, for clients: %s", made.CAFile)
				out.Line("")
				if made.JoinCode != "" {
					out.Line("Join code for the first agent, good for 15 minutes (prime-spark-agent join takes it):")
					out.Line("  %s", made.JoinCode)
					out.Line("")
				}
				out.Line("Now start it: prime-spark-coordinator run, or systemctl start prime-spark-coordinator.")
				out.Line("Then make a join code for each further node: prime-spark join-code create --role agent, or --role coordinator.")
			})
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "home", "`name` of the cluster: 1 to 32 of a-z, 0-9 and hyphen")
	cli.JSON(cmd)
	return cmd
}

// daemon is this program to the commands that both daemons have.
var daemon = cli.Daemon{
	Program: "prime-spark-coordinator", Noun: "a coordinator", Role: "coordinator", Reference: config.Reference,
	Name: func(cmd *cobra.Command) (string, error) {
		cfg, err := settings(cmd)
		return cfg.Name, err
	},
	Moves: func(data []byte) ([]conf.Move, error) {
		cfg, err := config.Parse(data)
		return cfg.Moved, err
	},
	Join: func(ctx context.Context, cmd *cobra.Command, code identity.JoinCode, name string) (identity.ID, error) {
		cfg, err := settings(cmd)
		if err != nil {
			return identity.ID{}, err
		}
		cfg.Name = cmp.Or(name, cfg.Name)
		return coordinator.Join(ctx, cfg, code)
	},
}

func joinCommand() *cobra.Command {
	return daemon.JoinCommand("Make this host a coordinator of a cluster, with a join code",
		`Makes this host a coordinator of a cluster. The code comes from an operator, who made
it with prime-spark join-code create --role coordinator. It first follows the group
and becomes a voter once it runs and has caught up.`)
}

func checkCommand() *cobra.Command { return daemon.CheckCommand() }

func resetCommand() *cobra.Command {
	var rejoin bool
	cmd := &cobra.Command{
		Use: "reset --rejoin", Short: "Put a damaged log aside and fetch everything from the other coordinators", Args: cli.Words(),
		Long: `Puts this coordinator's log and snapshots aside, in a directory beside them, so that it
gets everything from the others when it starts again. It keeps its identity. Only for a
group whose other coordinators are well: what none of them has is gone.`,
		Example: "  prime-spark-coordinator reset --rejoin --config /etc/prime-spark/coordinator.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !rejoin {
				return cli.Misuse(cmd, "--rejoin is missing; it is asked for so that nobody resets by mistake.")
			}
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			aside, err := coordinator.Reset(cfg)
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(map[string]string{"kept": aside}, func() {
				out.Line("The old log is kept in %s.", aside)
				out.Line("Start the coordinator; it fetches everything from the others.")
			})
		},
	}
	cmd.Flags().BoolVar(&rejoin, "rejoin", false, "confirm that the other coordinators have everything")
	cli.JSON(cmd)
	return cmd
}
