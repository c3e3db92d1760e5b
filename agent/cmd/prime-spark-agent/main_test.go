package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"primespark/shared/cli/clitest"
	"primespark/shared/testphoto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"prime-spark-agent": main})
}

var update = flag.Bool("update", false, "rewrite the golden files")

func TestHelp(t *testing.T) { clitest.Help(t, root, *update) }

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			return os.WriteFile(filepath.Join(env.WorkDir, "photo.jpg"), testphoto.Astronaut(), 0o600)
		},
	})
}
