// prime-spark is the operator's command line. It talks HTTP to the coordinators
// like everybody else.
package main

import (
	"os"

	"github.com/spf13/cobra"

	"primespark/coordinator/cmd/prime-spark/internal/demo"
	"primespark/coordinator/cmd/prime-spark/internal/figures"
	"primespark/coordinator/cmd/prime-spark/internal/operator"
	"primespark/shared/cli"
)

func main() { os.Exit(cli.Main(root(), os.Args[1:], os.Stdout, os.Stderr)) }

func root() *cobra.Command {
	root := operator.Root()
	root.AddCommand(demo.Command(), demo.SweepCommand(), figures.Command())
	return root
}
