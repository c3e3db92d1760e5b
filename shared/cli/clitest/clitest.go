// Package clitest checks what every program's command line promises.
package clitest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"primespark/shared/cli"
)

// Help checks that each command below the root says what it does and gives an
// example, and holds what its --help prints to testdata/help, which update
// rewrites. Root makes a fresh command tree at each call.
func Help(t *testing.T, root func() *cobra.Command, update bool) {
	t.Helper()
	for _, fault := range cli.Faults(root()) {
		t.Error(fault)
	}
	walk(t, root, root(), update)
}

func walk(t *testing.T, root func() *cobra.Command, c *cobra.Command, update bool) {
	t.Helper()
	words := strings.Fields(c.CommandPath())
	var stdout, stderr bytes.Buffer
	if code := cli.Main(root(), append(words[1:], "--help"), &stdout, &stderr); code != cli.Done {
		t.Errorf("%s --help ended with %d: %s", c.CommandPath(), code, &stderr)
	}
	golden(t, filepath.Join("testdata", "help", strings.Join(words, "-")+".txt"), stdout.Bytes(), update)
	for _, sub := range c.Commands() {
		walk(t, root, sub, update)
	}
}

func golden(t *testing.T, path string, got []byte, update bool) {
	t.Helper()
	if update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got), make golden accepts it:\n%s", path, d)
	}
}
