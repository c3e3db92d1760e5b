// prime-spark-agent is the daemon of a node, and the commands for whoever stands
// before that node.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"primespark/agent/config"
	"primespark/shared/cli"
)

func main() { os.Exit(cli.Main(root(), os.Args[1:], os.Stdout, os.Stderr)) }

func root() *cobra.Command {
	root := cli.Root("prime-spark-agent", "Serve inference on this node, and tell the fleet how it fares",
		`The agent serves the models of this node by the Open Inference Protocol v2. A node
that belongs to no cluster yet serves its own host; prime-spark-agent join makes it
part of one.`)
	root.Example = "  prime-spark-agent run\n  prime-spark-agent infer photo.jpg"
	root.PersistentFlags().String("config", config.Path, "configuration `file`; may be absent at its usual place")
	root.AddCommand(runCommand(), joinCommand(), checkCommand(), inferCommand(), doctorCommand(), detectCommand(), explainCommand(), hailoCommand(), powerCutCommand())
	return root
}
