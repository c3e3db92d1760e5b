package main

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"

	"primespark/shared/cli/clitest"
)

func TestHelp(t *testing.T) { clitest.Help(t, root) }

// TestEveryCommand: whatever prints data prints JSON, too, and each command shows by an
// example how it is called.
func TestEveryCommand(t *testing.T) {
	// Those that talk to a person, or write what has a form of its own.
	without := []string{"prime-spark demo", "prime-spark sweep-demo", "prime-spark login", "prime-spark man", "prime-spark completion"}
	seen := 0
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Name() == "help" || c.Hidden && c.Name() == "__complete" {
			return
		}
		seen++
		if c.Example == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		if !c.Runnable() || c.HasSubCommands() && c.RunE == nil {
			return // it only names those below it
		}
		if got, want := c.Flags().Lookup("json") != nil, !slices.Contains(without, c.CommandPath()); got != want && !c.HasSubCommands() {
			t.Errorf("%s has --json: %v, want %v", c.CommandPath(), got, want)
		}
	}
	walk(root())
	if seen < 40 {
		t.Errorf("%d commands were looked at", seen)
	}
}
