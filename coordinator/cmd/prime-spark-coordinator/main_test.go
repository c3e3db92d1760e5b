package main

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"primespark/shared/cli/clitest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"prime-spark-coordinator": main})
}

func TestHelp(t *testing.T) { clitest.Help(t, root) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: filepath.Join("testdata", "script")})
}
