package cli_test

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/problem"
)

// A program is a root, its commands, and one call of Main, whose result is the
// exit code.
func ExampleMain() {
	root := cli.Root("lamp", "Look after a lamp", "Look after a lamp.")
	root.AddCommand(&cobra.Command{
		Use: "show LAMP", Short: "See one lamp", Args: cli.Words("LAMP"),
		Example: "  lamp show kitchen",
		RunE: func(_ *cobra.Command, args []string) error {
			return problem.New(problem.NotFound, "See lamp list.", "There is no lamp %s.", args[0])
		},
	})
	code := cli.Main(root, []string{"show", "cellar"}, os.Stdout, os.Stdout)
	fmt.Println("exit code", code)
	// Output:
	// lamp: There is no lamp cellar. See lamp list.
	// exit code 3
}

func ExampleOut_Table() {
	out := cli.Output(&cobra.Command{Use: "lamp"})
	out.Table([]string{"LAMP", "STATE"}, [][]any{{"kitchen", cli.Good("on")}, {"cellar\x1b[2J", cli.Bad("broken")}})
	// Output:
	// LAMP           STATE
	// kitchen        on
	// cellar\x1b[2J  broken
}

func ExampleText() {
	fmt.Println(cli.Text("red\x1b[31m"))
	// Output: red\x1b[31m
}
