// Package clitest checks what every program's command line promises.
package clitest

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"primespark/shared/cli"
	"primespark/shared/goldentest"
)

// Help checks that each command below the root says what it does and gives an
// example, and holds what its --help prints to testdata/help, which -update
// rewrites. Root makes a fresh command tree at each call.
func Help(t *testing.T, root func() *cobra.Command) {
	t.Helper()
	for _, fault := range cli.Faults(root()) {
		t.Error(fault)
	}
	walk(t, root, root())
}

func walk(t *testing.T, root func() *cobra.Command, c *cobra.Command) {
	t.Helper()
	words := strings.Fields(c.CommandPath())
	var stdout, stderr bytes.Buffer
	if code := cli.Main(root(), append(words[1:], "--help"), &stdout, &stderr); code != cli.Done {
		t.Errorf("%s --help ended with %d: %s", c.CommandPath(), code, &stderr)
	}
	goldentest.Compare(t, filepath.Join("help", strings.Join(words, "-")+".txt"), stdout.Bytes())
	for _, sub := range c.Commands() {
		walk(t, root, sub)
	}
}
