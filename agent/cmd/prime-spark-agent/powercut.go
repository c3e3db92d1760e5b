package main

import (
	"github.com/spf13/cobra"

	"primespark/agent"
	"primespark/shared/cli"
)

// powerCutCommand is for the hook in /usr/lib/systemd/system-shutdown, and not for people.
func powerCutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "power-cut", Short: "Have the UPS board cut the power, at the very end of a shutdown", Args: cli.Words(), Hidden: true,
		Long: `Has the UPS board cut the power if the agent that shut this host down left word that it
shall. systemd calls it when all file systems are down (systemd-shutdown(8)); never call it
on a host that is up.`,
		Example: "  prime-spark-agent power-cut",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := settings(cmd)
			if err != nil {
				return err
			}
			done, err := agent.PowerCut(cmd.Context(), cfg)
			if done && err == nil {
				cli.Output(cmd).Line("The UPS board was told to cut the power.")
			}
			return err
		},
	}
}
