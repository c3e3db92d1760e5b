package main

import (
	"flag"
	"testing"

	"primespark/shared/cli/clitest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestHelp(t *testing.T) { clitest.Help(t, root, *update) }
