package main

import (
	"github.com/spf13/cobra"

	"primespark/coordinator"
	"primespark/shared/cli"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong with this coordinator, and what mends it", Args: cli.Words(),
		Long: `Looks at this coordinator as a support engineer would: the daemon, the group and the
ways to the others, their versions and clocks, disk and log, backups, certificate, ports
and the mesh, each with the command that mends what is wrong. The coordinator may run or
not. Nothing is changed. --json prints everything to attach to an issue; secrets are taken
out. The exit code is 1 if something does not work.`,
		Example: "  sudo prime-spark-coordinator doctor\n  sudo prime-spark-coordinator doctor --json > doctor.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			done := cli.Progress(cmd, "Looking")
			r := coordinator.Examine(cmd.Context(), cfg, nil)
			done()
			return r.Print(cli.Output(cmd))
		},
	}
	cli.JSON(cmd)
	return cmd
}
