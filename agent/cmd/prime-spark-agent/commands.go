package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/agent/config"
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
		return cfg, cli.BadConfig("prime-spark-agent", err)
	}
	return cfg, nil
}

func runCommand() *cobra.Command {
	var safe bool
	cmd := &cobra.Command{
		Use: "run", Short: "Run the node until SIGTERM; a second signal kills", Args: cli.Words(),
		Long: `Runs the node until SIGTERM; a second signal kills. With --safe it serves the
embedded model only, takes no tasks and reports to no broker: systemd runs it so after
five crashes in five minutes, until somebody has looked at
journalctl -u prime-spark-agent and runs systemctl start prime-spark-agent.`,
		Example: "  prime-spark-agent run --config /etc/prime-spark/agent.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			if safe {
				cfg = cfg.Safe()
			}
			service, err := notify.FromEnv()
			if err != nil {
				return err
			}
			defer service.Close()
			out := agent.Real(cfg, cmd.ErrOrStderr())
			out.Service = service
			run.Scatter()
			if err := run.Ease(run.Slack); err != nil {
				out.Log.Warn("the node takes more of the processor at rest than it needs to", "err", err, "next", "it goes on")
			}
			go run.Restart(run.Func("kernel's timer", run.Wake), out.Log).Run(cmd.Context()) // nobody waits for it
			return agent.Run(cmd.Context(), cfg, out)
		},
	}
	cmd.Flags().BoolVar(&safe, "safe", false, "leave out what may have made the agent crash")
	return cmd
}

// daemon is this program to the commands that both daemons have.
var daemon = cli.Daemon{
	Program: "prime-spark-agent", Noun: "an agent", Role: "agent", Reference: config.Reference,
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
		return agent.Join(ctx, cfg, code)
	},
}

func joinCommand() *cobra.Command {
	return daemon.JoinCommand("Make this node part of a cluster, with a join code",
		`Makes this node part of a cluster. The code comes from an operator, who made it with
prime-spark join-code create --role agent. The node makes its own key, checks that it
talks to the cluster of the code before it sends the code's secret, and keeps the
certificate that it gets in its state directory. Start or restart the agent afterwards.`)
}

func checkCommand() *cobra.Command { return daemon.CheckCommand() }

func inferCommand() *cobra.Command {
	var model string
	cmd := &cobra.Command{
		Use: "infer IMAGE", Short: "Show what a model sees in a JPEG, PNG, WebP, BMP or TIFF file", Args: cli.Words("IMAGE"),
		Long: `Runs a model of this node on an image file and prints what it finds. It asks the
running agent; if none runs, it loads the model itself.`,
		Example: "  prime-spark-agent infer photo.jpg --model blazeface",
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			done := cli.Progress(cmd, "Inferring")
			answer, err := agent.Look(cmd.Context(), cfg, model, args[0])
			done()
			if err != nil {
				return err
			}
			out := cli.Output(cmd)
			return out.Data(answer, func() {
				rows := make([][]any, len(answer.Found))
				for i, f := range answer.Found {
					rows[i] = []any{f.Label, fmt.Sprintf("%.2f", f.Score), box(f.Box)}
				}
				if len(rows) == 0 {
					out.Line("%s found nothing in %s.", answer.Model, args[0])
				} else {
					out.Table([]string{"LABEL", "SCORE", "BOX (x1 y1 x2 y2, pixels)"}, rows)
				}
				out.Line("%s, %.1f ms in all, %s", answer.Backend, answer.Millis, answer.By)
			})
		},
	}
	cmd.Flags().StringVar(&model, "model", "blazeface", "`name` of the model")
	cli.JSON(cmd)
	return cmd
}

// box writes a box as whole pixels; a class has none.
func box(b []float64) string {
	if len(b) != 4 {
		return ""
	}
	return fmt.Sprintf("%.0f %.0f %.0f %.0f", b[0], b[1], b[2], b[3])
}
