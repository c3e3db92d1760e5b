package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"primespark/shared/cli"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestEveryCommandExplainsItself(t *testing.T) {
	for _, fault := range cli.Faults(root()) {
		t.Error(fault)
	}
}

// TestHelp holds what --help prints to the golden files.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		words := strings.Fields(c.CommandPath())[1:]
		var stdout, stderr bytes.Buffer
		if code := cli.Main(root(), append(words, "--help"), &stdout, &stderr); code != cli.Done {
			t.Errorf("%s --help ended with %d: %s", c.CommandPath(), code, &stderr)
		}
		golden := filepath.Join("testdata", "help", strings.Join(append([]string{"prime-spark"}, words...), "-")+".txt")
		if *update {
			if err := os.WriteFile(golden, stdout.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), stdout.String()); d != "" {
			t.Errorf("%s (-want +got):\n%s", golden, d)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root())
}
