// prime-spark-coordinator is the daemon of a coordinator, and the commands that
// work on its files.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"primespark/coordinator/config"
	"primespark/shared/cli"
)

func main() { os.Exit(cli.Main(root(), os.Args[1:], os.Stdout, os.Stderr)) }

func root() *cobra.Command {
	root := cli.Root("prime-spark-coordinator", "Coordinate a fleet, with the other coordinators of its group",
		`A coordinator knows the fleet, routes inference to it and shows it on a page. Three of
them agree on every decision and survive the loss of one; one alone works too and
survives none. prime-spark-coordinator init founds a cluster, join adds to one.`)
	root.Example = "  prime-spark-coordinator init --cluster home\n  prime-spark-coordinator run"
	root.PersistentFlags().String("config", config.Path, "configuration `file`; may be absent at its usual place")
	root.AddCommand(runCommand(), initCommand(), joinCommand(), checkCommand(), doctorCommand(), resetCommand(),
		backupCommand(), restoreCommand(), recoverCommand())
	return root
}
